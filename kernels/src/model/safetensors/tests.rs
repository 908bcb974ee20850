//! Safetensors: what is written comes back, conversions round to nearest even, the reference agrees.

use super::*;

fn write_raw(folder: &Path, header: &str, data: &[u8]) -> PathBuf {
    let path = folder.join("raw.safetensors");
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat();
    std::fs::write(&path, bytes).expect("write");
    path
}

fn planned(name: &str, shape: &[usize]) -> PlannedTensor {
    PlannedTensor { name: name.into(), shape: shape.into() }
}

#[test]
fn what_is_written_comes_back_and_the_reference_implementation_reads_it() {
    let folder = tempfile::tempdir().expect("tempdir");
    let path = folder.path().join("a.safetensors");
    let tensors = [planned("b", &[3, 5]), planned("empty", &[0]), planned("a", &[70_000])];
    let values = |tensor: &PlannedTensor| -> Vec<bf16> {
        (0..tensor.shape.iter().product()).map(|i: usize| bf16::from_f32(i as f32 * 0.37 - 3.0)).collect()
    };
    write_file(&path, &tensors, |tensor| Ok(values(tensor))).expect("written");
    let file = SafetensorsFile::open(&path).expect("opens");
    let bytes = std::fs::read(&path).expect("read");
    let reference = safetensors::SafeTensors::deserialize(&bytes).expect("the reference accepts it");
    for tensor in &tensors {
        assert_eq!(file.tensors()[&tensor.name].shape, tensor.shape);
        assert_eq!(file.read_bf16(&tensor.name).expect("read"), values(tensor));
        let view = reference.tensor(&tensor.name).expect("the reference finds it");
        let expected: Vec<u8> = values(tensor).iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(view.data(), expected);
    }
}

#[test]
fn wider_types_round_to_nearest_even() {
    let folder = tempfile::tempdir().expect("tempdir");
    let header = r#"{"f":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},
                     "h":{"dtype":"F16","shape":[2],"data_offsets":[16,20]}}"#;
    let floats = [0x3F80_8000_u32, 0x3F81_8000, 0x3F80_8001, 0xBF80_7FFF];
    let halves = [f16::from_f32(1.0 + 1.0 / 1024.0), f16::from_f32(65504.0)];
    let data: Vec<u8> = floats
        .iter()
        .flat_map(|bits| bits.to_le_bytes())
        .chain(halves.iter().flat_map(|half| half.to_le_bytes()))
        .collect();
    let file = SafetensorsFile::open(&write_raw(folder.path(), header, &data)).expect("opens");
    let bits = |name| file.read_bf16(name).expect("read").iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits("f"), [0x3F80, 0x3F82, 0x3F81, 0xBF80]);
    assert_eq!(bits("h"), [0x3F80, 0x4780]);
}

#[test]
fn values_that_are_not_finite_are_named() {
    let folder = tempfile::tempdir().expect("tempdir");
    let header = r#"{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}"#;
    for (value, shown) in [(f32::NAN, "NaN"), (f32::NEG_INFINITY, "-inf"), (f32::MAX, "inf")] {
        let data: Vec<u8> = [1.0, 2.0, value].iter().flat_map(|value: &f32| value.to_le_bytes()).collect();
        let file = SafetensorsFile::open(&write_raw(folder.path(), header, &data)).expect("opens");
        let error = file.read_bf16("w").expect_err("refused").to_string();
        assert!(
            error.ends_with(&format!("tensor \"w\": value 2 is {shown}, expected finite weights")),
            "{error}"
        );
    }
}

#[test]
fn lying_headers_are_refused() {
    let folder = tempfile::tempdir().expect("tempdir");
    let table = [
        ("[]", 0, "expected a JSON object of tensors"),
        ("{", 0, "the header is not valid: EOF"),
        (r#"{"w":{"dtype":"F5","shape":[2],"data_offsets":[0,4]}}"#, 4, "dtype \"F5\" is not known"),
        (r#"{"w":{"dtype":"BF16","shape":[-2],"data_offsets":[0,4]}}"#, 4, "tensor \"w\": invalid value"),
        (r#"{"w":{"dtype":"BF16","shape":[2]}}"#, 4, "tensor \"w\": missing field `data_offsets`"),
        (r#"{"w":{"dtype":"BF16","shape":[2],"data_offsets":[4,0]}}"#, 4, "got [4, 0]"),
        (r#"{"w":{"dtype":"BF16","shape":[2],"data_offsets":[0,8]}}"#, 4, "within the file's 4 bytes"),
        (
            r#"{"w":{"dtype":"BF16","shape":[3],"data_offsets":[0,4]}}"#,
            4,
            "take 6 bytes, but data_offsets [0, 4] give 4",
        ),
        (
            r#"{"w":{"dtype":"BF16","shape":[4294967296,4294967296],"data_offsets":[0,4]}}"#,
            4,
            "take more than 2^64 bytes",
        ),
        (r#"{"w":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}"#, 6, "2 bytes after the last tensor"),
        (
            r#"{"v":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},"w":{"dtype":"BF16","shape":[2],"data_offsets":[2,6]}}"#,
            6,
            "tensor \"w\" overlaps the tensor before it: expected it to start at byte 4, got 2",
        ),
        (
            r#"{"v":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},"w":{"dtype":"BF16","shape":[2],"data_offsets":[6,10]}}"#,
            10,
            "tensor \"w\" leaves a gap before it",
        ),
        (
            r#"{"w":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},"w":{"dtype":"BF16","shape":[2],"data_offsets":[4,8]}}"#,
            8,
            "tensor \"w\" is described twice",
        ),
    ];
    for (header, data_len, expected) in table {
        let path = write_raw(folder.path(), header, &vec![0; data_len]);
        let error = SafetensorsFile::open(&path).expect_err(expected).to_string();
        assert!(error.contains(expected), "{header}: expected {expected:?}, got {error:?}");
        assert!(error.starts_with(&path.display().to_string()), "names the file: {error}");
    }
    for (bytes, expected) in [
        (vec![1, 2, 3], "got one of 3 bytes, too short for a header"),
        (u64::MAX.to_le_bytes().to_vec(), "the header claims 18446744073709551615 bytes, expected at most 0"),
    ] {
        let path = folder.path().join("short");
        std::fs::write(&path, bytes).expect("write");
        let error = SafetensorsFile::open(&path).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_identity_changes_when_the_file_is_written_to() {
    let folder = tempfile::tempdir().expect("tempdir");
    let header = r#"{"w":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}"#;
    let before = SafetensorsFile::open(&write_raw(folder.path(), header, &[0; 4])).expect("opens");
    let again = SafetensorsFile::open(before.path()).expect("opens");
    assert_eq!(before.identity(), again.identity());
    std::thread::sleep(std::time::Duration::from_millis(20));
    let after = SafetensorsFile::open(&write_raw(folder.path(), header, &[1; 4])).expect("opens");
    assert_ne!(before.identity(), after.identity());
}

proptest::proptest! {
    /// Whatever the bytes, opening and reading ends in a value or an error.
    #[test]
    fn no_file_panics(header: String, data: Vec<u8>, claimed in 0_u64..80) {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = write_raw(folder.path(), &header, &data);
        let _ = SafetensorsFile::open(&path);
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[..8].copy_from_slice(&claimed.to_le_bytes());
        std::fs::write(&path, bytes).expect("write");
        let _ = SafetensorsFile::open(&path);
    }

    /// Our parser accepts a mutated header exactly when the reference implementation does, or is stricter.
    #[test]
    fn never_laxer_than_the_reference(position in 0_usize..110, byte in 32_u8..127) {
        let folder = tempfile::tempdir().expect("tempdir");
        let mut header = r#"{"v":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},"w":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}"#
            .to_owned()
            .into_bytes();
        header[position] = byte;
        let header = String::from_utf8(header).expect("ASCII");
        let path = write_raw(folder.path(), &header, &[0; 16]);
        if let Ok(file) = SafetensorsFile::open(&path) {
            let bytes = std::fs::read(&path).expect("read");
            let reference = safetensors::SafeTensors::deserialize(&bytes).expect("the reference accepts it too");
            for (name, entry) in file.tensors() {
                let view = reference.tensor(name).expect("the reference has it too");
                proptest::prop_assert_eq!(entry.shape.as_slice(), view.shape());
            }
        }
    }
}
