//! The registry against the PTX it describes; launches as data.

use super::launch::{KvLayout, LaunchBuilder};
use super::registry::{Kernel, Module, Parameter};

/// Entry points of a module's PTX with their parameters, read from the text.
fn entries(ptx: &str) -> Vec<(String, Vec<Parameter>)> {
    let mut entries = Vec::new();
    for part in ptx.split(".entry ").skip(1) {
        let (name, rest) = part.split_once('(').unwrap();
        let (parameters, _) = rest.split_once(')').unwrap();
        let kind = |line: &str| match () {
            () if line.contains(".u64") => Parameter::Pointer,
            () if line.contains(".u32") => Parameter::Word,
            () if line.contains(".f32") => Parameter::Float,
            () if line.contains(".align 4 .b8") && line.contains("[16]") => Parameter::Layout,
            () => panic!("{name}: {line}"),
        };
        let parameters = parameters.lines().filter(|line| line.contains(".param")).map(kind).collect();
        entries.push((name.trim().to_owned(), parameters));
    }
    entries
}

#[test]
fn the_registry_says_what_the_ptx_says() {
    let mut found = 0;
    for module in Module::ALL {
        let (file, ptx) = module.ptx();
        for (name, parameters) in entries(ptx) {
            let kernel = Kernel::ALL.into_iter().find(|kernel| kernel.name() == name);
            let kernel = kernel.unwrap_or_else(|| panic!("{file}: {name} is not registered"));
            assert_eq!(kernel.module(), module, "{name}");
            assert_eq!(kernel.parameters(), parameters, "{name}");
            let threads = kernel.launch_shape().threads;
            assert!(ptx.contains(&format!(".maxntid {threads}, 1, 1")), "{name}: {threads} threads");
            found += 1;
        }
        assert!(ptx.contains(".target sm_80"), "{file}");
    }
    assert_eq!(found, Kernel::ALL.len());
}

#[test]
fn no_kernel_uses_local_memory() {
    for module in Module::ALL {
        let (file, ptx) = module.ptx();
        assert!(!ptx.contains(".local "), "{file}");
    }
}

#[test]
fn arguments_are_packed_where_the_device_looks() {
    let layout = KvLayout { num_blocks: 1, kv_heads: 2, block_size: 3, width: 4 };
    let mut builder = LaunchBuilder::new(Kernel::AttentionCombine);
    for address in 1..=6 {
        builder = builder.pointer(address);
    }
    builder = builder.layout(layout);
    for value in 10..15 {
        builder = builder.word(value);
    }
    let launch = builder.float(1.0).grid(7, 8).unwrap();
    assert_eq!(launch.grid, [7, 8, 1]);
    assert_eq!(launch.argument_bytes().len(), 48 + 16 + 20 + 4);
    let offsets: Vec<usize> = launch.argument_offsets().collect();
    assert_eq!(offsets, [0, 8, 16, 24, 32, 40, 48, 64, 68, 72, 76, 80, 84]);
    assert_eq!(launch.argument_bytes()[64], 10);
}

#[test]
fn wrong_arguments_and_empty_grids_are_refused() {
    let builder = || LaunchBuilder::new(Kernel::SampleRows).pointer(1).pointer(2).pointer(3);
    assert!(builder().word(4).grid(1, 1).is_ok());
    for (wrong, named) in [
        (builder().grid(1, 1), "3 arguments"),
        (builder().float(4.0).grid(1, 1), "4 arguments"),
        (builder().word(4).word(5).grid(1, 1), "5 arguments"),
        (builder().word(4).grid(0, 1), "a grid of 0 x 1"),
        (builder().word(4).grid(1, 65_536), "a grid of 1 x 65536"),
    ] {
        let error = wrong.unwrap_err().to_string();
        assert!(error.starts_with("operator sample_rows") && error.contains(named), "{error}");
    }
}
