//! Barriers in shared memory.

use super::{case, run};

const DECLARE: &str =
    ".shared .align 8 .b64 bar; .shared .align 16 .b8 s[512]; mov.u32 %r1, %tid.x; setp.eq.u32 %p, %r1, 0; ";

/// The declarations, then the text.
fn with(text: &str) -> &'static str {
    format!("{DECLARE}{text}").leak()
}

#[test]
fn phases_end_when_all_have_arrived() {
    run(&[
        // All 32 lanes arrive; the lane that stores last waits for its own state.
        case(
            "b32 b32",
            with(
                "@%p mbarrier.init.shared.b64 [bar], 32; bar.sync 0; mbarrier.arrive.shared.b64 %rd1, [bar]; \
                 wait: mbarrier.test_wait.shared.b64 %q, [bar], %rd1; @!%q bra wait; selp.u32 %d, 1, 0, %q;",
            ),
            &[0],
            1,
        ),
        // Not yet over: one arrival is missing.
        case(
            "b32 b32",
            with(
                "@%p mbarrier.init.shared::cta.b64 [bar], 33; bar.sync 0; mbarrier.arrive.release.cta.shared::cta.b64 %rd1, [bar]; \
                 bar.sync 0; mbarrier.test_wait.parity.shared.b64 %q, [bar], 0; selp.u32 %d, 1, 2, %q;",
            ),
            &[0],
            2,
        ),
        // Parities of the phases before and after one completion.
        case(
            "b32 b32",
            with(
                "@%p mbarrier.init.shared.b64 [bar], 64; bar.sync 0; mbarrier.arrive.noComplete.shared.b64 _, [bar], 2; bar.sync 0; \
                 mbarrier.test_wait.parity.acquire.cta.shared.b64 %p, [bar], 0; mbarrier.test_wait.parity.shared.b64 %q, [bar], 1; \
                 selp.u32 %r2, 2, 0, %q; selp.u32 %d, 1, 0, %p; or.b32 %d, %d, %r2;",
            ),
            &[0],
            1,
        ),
        // Arrivals that are dropped are not expected in the next phase.
        case(
            "b32 b32",
            with(
                "@%p mbarrier.init.shared.b64 [bar], 40; bar.sync 0; mbarrier.arrive_drop.shared.b64 _, [bar]; bar.sync 0; \
                 @%p mbarrier.arrive.shared.b64 _, [bar], 8; bar.sync 0; ld.shared.b64 %rd2, [bar]; mbarrier.pending_count.b64 %d, %rd2;",
            ),
            &[0],
            8,
        ),
        case(
            "b32 b32",
            with(
                "mbarrier.init.shared.b64 [bar], 7; mbarrier.inval.shared.b64 [bar]; ld.shared.u32 %d, [bar];",
            ),
            &[0],
            0,
        ),
    ]);
}

#[test]
fn copies_arrive() {
    run(&[case(
        "b32 b32",
        with(
            "@%p mbarrier.init.shared.b64 [bar], 32; bar.sync 0; shl.b32 %r2, %r1, 4; cvt.u64.u32 %rd3, %r2; mov.u64 %rd4, s; add.u64 %rd4, %rd4, %rd3; \
             .global .align 16 .b32 g[4] = {5, 6, 7, 8}; cp.async.ca.shared.global [%rd4], [g], 16; cp.async.mbarrier.arrive.noinc.shared.b64 [bar]; \
             wait: mbarrier.try_wait.parity.shared.b64 %q, [bar], 0, 100; @!%q bra wait; ld.shared.u32 %d, [%rd4+12];",
        ),
        &[0],
        8,
    )]);
}
