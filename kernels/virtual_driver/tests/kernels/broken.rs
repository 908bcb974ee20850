//! Broken programs: whatever loads must end in a result or a trap, never in a crash.

use std::sync::Arc;

use goldlap_virtual_driver::machine::{Image, LaunchSpec, Options, launch};
use goldlap_virtual_driver::memory::{DeviceMemory, Fill, Kind};
use goldlap_virtual_driver::{lower, ptx};
use proptest::prelude::*;

const SOURCES: [&str; 3] = [
    include_str!("../ptx/features.ptx"),
    include_str!("../ptx/kernels.ptx"),
    include_str!("../ptx/saxpy.ptx"),
];

/// Replaces word `at` of the text by word `with`, both counted over all words.
fn swap_words(text: &str, swaps: &[(usize, usize)]) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '%' | '_' | '$');
    let mut pieces: Vec<String> = Vec::new();
    for c in text.chars() {
        match pieces.last_mut() {
            Some(last) if is_word(c) && last.starts_with(is_word) => last.push(c),
            _ => pieces.push(c.to_string()),
        }
    }
    let words: Vec<usize> = (0..pieces.len()).filter(|&i| pieces[i].starts_with(is_word)).collect();
    for &(at, with) in swaps {
        let replacement = pieces[words[with % words.len()]].clone();
        pieces[words[at % words.len()]] = replacement;
    }
    pieces.concat()
}

fn run_all(text: &str) {
    let Ok(module) = ptx::parse(text) else { return };
    let Ok(program) = lower::lower(&module) else { return };
    let memory = DeviceMemory::new(1 << 26, Fill::default());
    let Ok(image) = Image::load(Arc::new(program), &memory) else { return };
    let buffer = memory.allocate(4096, Kind::Device).unwrap();
    let options =
        Options { threads: 1, step_budget: Some(20_000), print: Some(|_| {}), ..Options::default() };
    let kernels: Vec<String> = image.program().kernels().map(str::to_owned).collect();
    for name in kernels {
        let (number, function) = image.kernel(&name).unwrap();
        let mut params = vec![3; function.param_bytes as usize];
        for param in &function.params {
            let value = if param.bytes == 8 { buffer } else { 17 };
            let bytes = (param.bytes as usize).min(8);
            params[param.offset as usize..][..bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
        }
        let spec = LaunchSpec {
            grid: [2, 1, 1],
            block: [40, 1, 1],
            params,
            dynamic_shared: 512,
            cooperative: false,
        };
        // A result or a trap, both are fine.
        let _ = launch(&image, number, &spec, &memory, &options);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("PROPTEST_CASES").map_or(60, |n| n.parse().unwrap()), ..ProptestConfig::default() })]
    #[test]
    fn programs_with_swapped_words_never_crash(source in 0_usize..3, swaps in prop::collection::vec((0_usize..20_000, 0_usize..20_000), 1..4)) {
        run_all(&swap_words(SOURCES[source], &swaps));
    }
}
