//! One instruction at a time: inputs, text, expected result, edge values among them.
//!
//! Each row is a kernel of its own; %a, %b, %c are its inputs, %d its result, with the types the row names.

mod float;
mod integer;
mod mbarrier;
mod other;

use crate::device::{Arg, Device};

/// One row.
pub(crate) struct Case {
    /// Types of %d, %a, %b, %c.
    types: &'static str,
    /// Instructions; more registers may be declared in them.
    text: &'static str,
    inputs: [u64; 3],
    output: u64,
}

pub(crate) fn case(types: &'static str, text: &'static str, inputs: &[u64], output: u64) -> Case {
    let mut three = [0; 3];
    three[..inputs.len()].copy_from_slice(inputs);
    Case { types, text, inputs: three, output }
}

/// The bits of an f32.
pub(crate) fn f(value: f32) -> u64 {
    value.to_bits().into()
}

/// The bits of an f64.
pub(crate) fn d(value: f64) -> u64 {
    value.to_bits()
}

fn kernel(index: usize, case: &Case) -> String {
    let types: Vec<&str> = case.types.split(' ').collect();
    let mut text = format!(
        ".visible .entry k{index}(.param .u64 result, .param .u64 pa, .param .u64 pb, .param .u64 pc) {{\n"
    );
    text += ".reg .u64 %out, %wide; .reg .pred %p, %q; .reg .b16 %h<9>; .reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .f32 %f<9>;\n";
    for (name, ty) in ["d", "a", "b", "c"].iter().zip(&types) {
        text += &format!(".reg .{ty} %{name};\n");
    }
    text += "ld.param.u64 %out, [result];\n";
    for (name, ty) in ["a", "b", "c"].iter().zip(&types[1..]) {
        text += &format!("ld.param.{ty} %{name}, [p{name}];\n");
    }
    let bits = types[0].trim_start_matches(|c: char| c.is_ascii_alphabetic());
    text + case.text + &format!("\nst.global.b{bits} [%out], %d;\nret;\n}}\n")
}

/// Runs all rows and reports all that are wrong.
pub(crate) fn run(cases: &[Case]) {
    let header = ".version 8.8\n.target sm_80\n.address_size 64\n".to_owned();
    let text = cases.iter().enumerate().fold(header, |text, (index, case)| text + &kernel(index, case));
    let mut device = Device::load(&text);
    // All lanes write the same two words: a row is one instruction, not a program.
    device.checks.races = false;
    let mut wrong = String::new();
    for (index, case) in cases.iter().enumerate() {
        let out = device.upload_u32(&[0; 2]);
        let [a, b, c] = case.inputs.map(Arg::U64);
        device.launch(&format!("k{index}"), [1, 1, 1], [32, 1, 1], 0, &[Arg::U64(out), a, b, c]);
        let words = device.download_u32(out, 2);
        let got = u64::from(words[1]) << 32 | u64::from(words[0]);
        if got != case.output {
            wrong += &format!(
                "{} with {:x?}: got 0x{got:x}, expected 0x{:x}\n",
                case.text, case.inputs, case.output
            );
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
