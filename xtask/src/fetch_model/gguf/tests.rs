//! GGUF files made by hand, whole and broken.

use super::*;

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// One key `k` with an array of two strings, one F32 tensor `t` of two values.
fn file() -> Vec<u8> {
    let mut bytes = [
        b"GGUF".to_vec(),
        3_u32.to_le_bytes().to_vec(),
        1_u64.to_le_bytes().to_vec(),
        1_u64.to_le_bytes().to_vec(),
        text("k"),
        9_u32.to_le_bytes().to_vec(),
        8_u32.to_le_bytes().to_vec(),
        2_u64.to_le_bytes().to_vec(),
        text("a"),
        text("b"),
        text("t"),
        1_u32.to_le_bytes().to_vec(),
        2_u64.to_le_bytes().to_vec(),
        0_u32.to_le_bytes().to_vec(),
        0_u64.to_le_bytes().to_vec(),
    ]
    .concat();
    bytes.resize(bytes.len().next_multiple_of(32), 0);
    bytes.extend([1.5_f32, -2.0].iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

#[test]
fn a_whole_file_is_read() {
    let bytes = file();
    let gguf = Gguf::parse(&bytes).expect("valid");
    assert_eq!(gguf.texts("k").expect("strings"), ["a", "b"]);
    let tensor = gguf.tensor("t").expect("there");
    assert_eq!(tensor.dimensions, [2]);
    assert_eq!(tensor.block_type.dequantise(tensor.bytes), [1.5, -2.0]);
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = file();
    for len in 0..bytes.len() {
        assert!(Gguf::parse(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
    }
}

#[test]
fn no_single_wrong_byte_panics() {
    let whole = file();
    for position in 0..whole.len() {
        for byte in [0, 1, 9, 0x7F, 0xFF] {
            let mut bytes = whole.clone();
            bytes[position] = byte;
            let _ = Gguf::parse(&bytes);
        }
    }
}

#[test]
fn errors_say_what_was_expected() {
    let change = |position: usize, byte: u8| {
        let mut bytes = file();
        bytes[position] = byte;
        Gguf::parse(&bytes).err().map(|error| format!("{error:#}")).expect("refused")
    };
    assert_eq!(change(0, b'X'), "expected a file that starts with GGUF, got \"XGUF\"");
    assert_eq!(change(4, 2), "expected GGUF version 3, got 2");
    let gguf_bytes = file();
    let gguf = Gguf::parse(&gguf_bytes).expect("valid");
    assert_eq!(
        gguf.size("k").expect_err("no number").to_string(),
        "k: expected an unsigned number, got Array([Text(\"a\"), Text(\"b\")])"
    );
    assert_eq!(gguf.text("z").expect_err("absent").to_string(), "key z is missing");
}
