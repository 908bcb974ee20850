//! Fat binaries: the container in which nvcc puts PTX and machine code. Only PTX is taken out.
//!
//! Layout (little endian): a header of `u32 magic, u16 version, u16 header bytes, u64 payload bytes`, then entries of
//! `u16 kind, u16 version, u32 header bytes, u64 payload bytes, u32 compressed bytes, ...`, at 28 `u32 architecture`, at
//! 40 `u64 flags`, at 56 `u64 uncompressed bytes`, each followed by its payload. Payloads may be LZ4 blocks.

/// The first bytes of a fat binary.
pub const MAGIC: u32 = 0xBA55_ED50;
/// The first bytes of the record that points to one.
pub const WRAPPER_MAGIC: u32 = 0x4662_43B1;

const PTX: u16 = 1;
const IS_LZ4: u64 = 0x2000;
const IS_ZSTD: u64 = 0x8000;
/// No PTX text is larger.
const MOST_BYTES: u64 = 1 << 30;

fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], String> {
    let end = at.checked_add(N);
    let found = end.and_then(|end| bytes.get(at..end)).and_then(|slice| slice.try_into().ok());
    found.ok_or_else(|| format!("it ends before byte {at}"))
}

fn short(bytes: &[u8], at: usize) -> Result<u16, String> {
    field(bytes, at).map(u16::from_le_bytes)
}

fn word(bytes: &[u8], at: usize) -> Result<u32, String> {
    field(bytes, at).map(u32::from_le_bytes)
}

fn long(bytes: &[u8], at: usize) -> Result<usize, String> {
    let value = field(bytes, at).map(u64::from_le_bytes)?;
    if value > MOST_BYTES {
        Err(format!("{value} bytes are claimed at byte {at}"))
    } else {
        Ok(value as usize)
    }
}

/// Bytes of the whole fat binary, by its first 16 bytes.
///
/// # Errors
/// Where the number cannot be true.
pub fn total_bytes(header: &[u8; 16]) -> Result<usize, String> {
    Ok(usize::from(short(header, 6)?) + long(header, 8)?)
}

/// The PTX text of the highest architecture that sm_80 can run, of the lowest one else; `None` where there is no PTX.
///
/// # Errors
/// What is malformed or cannot be unpacked.
pub fn find_ptx(bytes: &[u8]) -> Result<Option<String>, String> {
    let mut at = usize::from(short(bytes, 6)?);
    let end = total_bytes(&field(bytes, 0)?)?.min(bytes.len());
    let mut best: Option<(u32, &[u8], usize)> = None;
    while at + 64 <= end {
        let (kind, header, payload) =
            (short(bytes, at)?, word(bytes, at + 4)? as usize, long(bytes, at + 8)?);
        let architecture = word(bytes, at + 28)?;
        let start = at.checked_add(header).filter(|_| header >= 64).ok_or("an entry has no header")?;
        let body = bytes.get(start..start + payload).ok_or("an entry is cut off")?;
        let is_better = best.as_ref().is_none_or(|(other, ..)| match (*other <= 80, architecture <= 80) {
            (true, true) => architecture > *other,
            (false, fits) => fits || architecture < *other,
            (true, false) => false,
        });
        if kind == PTX && is_better {
            best = Some((architecture, body, at));
        }
        at = start + payload;
    }
    best.map(|(_, body, entry)| unpack(bytes, entry, body)).transpose()
}

fn unpack(bytes: &[u8], entry: usize, body: &[u8]) -> Result<String, String> {
    let flags = field(bytes, entry + 40).map(u64::from_le_bytes)?;
    let packed = word(bytes, entry + 16)? as usize;
    let raw = if flags & IS_ZSTD != 0 {
        return Err("its PTX is packed with zstd; build it with --no-compress".into());
    } else if flags & IS_LZ4 != 0 {
        let body = body.get(..packed).ok_or("an entry is cut off")?;
        unpack_lz4(body, long(bytes, entry + 56)?)?
    } else {
        body.to_vec()
    };
    let text = raw.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8(text.to_vec()).map_err(|_| "its PTX is not text".to_owned())
}

/// Unpacks an LZ4 block of a known size.
fn unpack_lz4(packed: &[u8], size: usize) -> Result<Vec<u8>, String> {
    const CUT: &str = "its packed PTX is damaged";
    let mut out = Vec::with_capacity(size);
    let mut at = 0;
    let next = |at: &mut usize| {
        *at += 1;
        packed.get(*at - 1).copied().ok_or(CUT)
    };
    let length = |at: &mut usize, nibble: u8| -> Result<usize, &str> {
        let mut sum = usize::from(nibble);
        if nibble == 15 {
            loop {
                let byte = next(at)?;
                sum += usize::from(byte);
                if byte != 255 {
                    break;
                }
            }
        }
        Ok(sum)
    };
    while at < packed.len() {
        let token = next(&mut at)?;
        let literals = length(&mut at, token >> 4)?;
        out.extend_from_slice(packed.get(at..at + literals).ok_or(CUT)?);
        at += literals;
        if at >= packed.len() {
            break;
        }
        let back = usize::from(next(&mut at)?) | usize::from(next(&mut at)?) << 8;
        let count = length(&mut at, token & 15)? + 4;
        let start = out.len().checked_sub(back).filter(|_| back > 0).ok_or(CUT)?;
        if out.len() + count > size {
            return Err(CUT.into());
        }
        for n in 0..count {
            out.push(out[start + n]);
        }
    }
    if out.len() == size { Ok(out) } else { Err(CUT.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: u16, architecture: u32, flags: u64, body: &[u8], size: u64) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[0..2].copy_from_slice(&kind.to_le_bytes());
        bytes[4..8].copy_from_slice(&64_u32.to_le_bytes());
        bytes[8..16].copy_from_slice(&(body.len() as u64).to_le_bytes());
        bytes[16..20].copy_from_slice(&(body.len() as u32).to_le_bytes());
        bytes[28..32].copy_from_slice(&architecture.to_le_bytes());
        bytes[40..48].copy_from_slice(&flags.to_le_bytes());
        bytes[56..64].copy_from_slice(&size.to_le_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    fn container(entries: &[Vec<u8>]) -> Vec<u8> {
        let body = entries.concat();
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[1, 0, 16, 0]);
        bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    #[test]
    fn the_best_ptx_is_taken_out() {
        let elf = entry(2, 80, 0, b"\x7fELF", 0);
        let old = entry(PTX, 70, 0, b".version 7.0\0\0", 0);
        let fit = entry(PTX, 80, 0, b".version 8.0\0", 0);
        let new = entry(PTX, 90, 0, b".version 9.0\0", 0);
        let all = container(&[elf.clone(), old, new.clone(), fit]);
        assert_eq!(find_ptx(&all), Ok(Some(".version 8.0".into())));
        assert_eq!(find_ptx(&container(&[elf.clone(), new])), Ok(Some(".version 9.0".into())));
        assert_eq!(find_ptx(&container(&[elf])), Ok(None));
    }

    #[test]
    fn packed_ptx_is_unpacked() {
        // Literals "abcd", then 8 bytes copied from 4 back, then the last literals "x".
        let packed = [0x44, b'a', b'b', b'c', b'd', 4, 0, 0x10, b'x'];
        let all = container(&[entry(PTX, 80, IS_LZ4, &packed, 13)]);
        assert_eq!(find_ptx(&all), Ok(Some("abcdabcdabcdx".into())));
        let lies = container(&[entry(PTX, 80, IS_LZ4, &packed, 12)]);
        assert!(find_ptx(&lies).is_err());
    }

    #[test]
    fn damage_is_told() {
        let all = container(&[entry(PTX, 80, 0, b"text", 0)]);
        for cut in 0..all.len() {
            let _ = find_ptx(&all[..cut]);
        }
        assert!(find_ptx(&all[..5]).is_err());
        for n in 0..all.len() {
            let mut bad = all.clone();
            bad[n] ^= 0xFF;
            let _ = find_ptx(&bad);
        }
    }
}
