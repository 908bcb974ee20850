//! Instructions of PTX ISA 8.8 that the machine does not have, each with the reason a program is told.

/// What a class of refused instructions lacks.
const CLUSTERS: &str = "needs sm_90: clusters, distributed shared memory and bulk copies are not there";
const WARP_GROUPS: &str = "needs sm_90a or sm_100a: products of warp groups and tensor memory are not there";
const TEXTURES: &str = "textures and surfaces are not there";
const VIDEO: &str = "video instructions are not there: use the plain integer instructions";
const STACK: &str = "the stack of a thread has a fixed size: declare `.local` variables instead";

/// Opcode or opcode with its second word, and why it is refused.
pub const REFUSED: &[(&str, &str)] = &[
    ("alloca", STACK),
    ("stacksave", STACK),
    ("stackrestore", STACK),
    ("barrier.cluster", CLUSTERS),
    ("clusterlaunchcontrol", CLUSTERS),
    ("cp.async.bulk", CLUSTERS),
    ("cp.reduce", CLUSTERS),
    ("getctarank", CLUSTERS),
    ("mapa", CLUSTERS),
    ("multimem", CLUSTERS),
    ("red.async", CLUSTERS),
    ("st.async", CLUSTERS),
    ("st.bulk", CLUSTERS),
    ("tensormap", CLUSTERS),
    ("setmaxnreg", WARP_GROUPS),
    ("tcgen05", WARP_GROUPS),
    ("wgmma", WARP_GROUPS),
    ("istypep", TEXTURES),
    ("suld", TEXTURES),
    ("suq", TEXTURES),
    ("sured", TEXTURES),
    ("sust", TEXTURES),
    ("tex", TEXTURES),
    ("tld4", TEXTURES),
    ("txq", TEXTURES),
    ("vabsdiff", VIDEO),
    ("vabsdiff2", VIDEO),
    ("vabsdiff4", VIDEO),
    ("vadd", VIDEO),
    ("vadd2", VIDEO),
    ("vadd4", VIDEO),
    ("vavrg2", VIDEO),
    ("vavrg4", VIDEO),
    ("vmad", VIDEO),
    ("vmax", VIDEO),
    ("vmax2", VIDEO),
    ("vmax4", VIDEO),
    ("vmin", VIDEO),
    ("vmin2", VIDEO),
    ("vmin4", VIDEO),
    ("vset", VIDEO),
    ("vset2", VIDEO),
    ("vset4", VIDEO),
    ("vshl", VIDEO),
    ("vshr", VIDEO),
    ("vsub", VIDEO),
    ("vsub2", VIDEO),
    ("vsub4", VIDEO),
];

/// Why the instruction is refused, if it is one of these: the longest beginning of its dotted words decides.
pub fn reason(opcode: &str, modifiers: &[String]) -> Option<&'static str> {
    (0..=modifiers.len().min(2)).rev().find_map(|count| {
        let name = std::iter::once(opcode).chain(modifiers[..count].iter().map(String::as_str));
        let name = name.collect::<Vec<&str>>().join(".");
        REFUSED.iter().find(|(text, _)| *text == name).map(|&(_, reason)| reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_decides() {
        let words = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<String>>();
        assert_eq!(reason("cp", &words("async.bulk.shared")), Some(CLUSTERS));
        assert_eq!(reason("cp", &words("async.ca.shared.global")), None);
        assert_eq!(reason("tex", &words("2d.v4.f32.f32")), Some(TEXTURES));
    }

    #[test]
    fn nothing_is_both_executed_and_refused() {
        for (text, _) in REFUSED {
            assert_eq!(crate::isa::Mnemonic::parse(text), None, "{text}");
        }
    }
}
