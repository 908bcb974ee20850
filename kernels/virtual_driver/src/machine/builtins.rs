//! Functions the machine provides: `vprintf`, `__assertfail`, `malloc` and `free`.

use std::fmt::Write;

use super::access::Intent;
use super::block::BlockSpace;
use super::context::Context;
use super::lanes::{L64, LANES};
use super::load_store::load_element;
use super::observer::{AccessKind, BlockObserver};
use super::trap::{Fault, TrapKind};
use super::warp::Warp;
use crate::isa::memory::MemorySpace;
use crate::isa::{Builtin, CallPlan};
use crate::memory::Heap;

/// Largest width and precision of a conversion.
const WIDEST: usize = 4096;
/// Longest string that is read from device memory.
const LONGEST: u64 = 1 << 16;

impl Warp {
    pub(super) fn builtin<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        builtin: Builtin,
        plan: &CallPlan,
        lanes: u32,
    ) -> Result<(), Box<Fault>> {
        match builtin {
            Builtin::Vprintf => {
                for lane in (0..32).filter(|lane| lanes >> lane & 1 == 1) {
                    let format = self.text(context, block, lane, self.argument(plan, 0, lane))?;
                    let arguments = self.argument(plan, 1, lane);
                    let (text, count) = self.format(context, block, lane, &format, arguments)?;
                    block.output.extend_from_slice(&text);
                    self.answer(plan, lane, u64::from(count));
                }
                self.tell_results(context, block, plan, lanes);
                Ok(())
            }
            Builtin::Assertfail => {
                let lane = lanes.trailing_zeros();
                let message = self.text(context, block, lane, self.argument(plan, 0, lane))?;
                let file = self.text(context, block, lane, self.argument(plan, 1, lane))?;
                let line = self.argument(plan, 2, lane) as u32;
                let function = self.text(context, block, lane, self.argument(plan, 3, lane))?;
                let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let what = format!(
                    "assertion `{}` failed in {} ({}:{line})",
                    show(&message),
                    show(&function),
                    show(&file)
                );
                Err(Fault::new(TrapKind::Assert, lane, what))
            }
            Builtin::Malloc => {
                for lane in (0..32).filter(|lane| lanes >> lane & 1 == 1) {
                    let bytes = self.argument(plan, 0, lane);
                    let piece = context.image.heap().and_then(|heap| heap.allocate(bytes));
                    self.answer(plan, lane, piece.unwrap_or(0));
                }
                self.tell_results(context, block, plan, lanes);
                Ok(())
            }
            Builtin::Free => {
                for lane in (0..32).filter(|lane| lanes >> lane & 1 == 1) {
                    let address = self.argument(plan, 0, lane);
                    let is_piece = |heap: &Heap| heap.free(address);
                    if address != 0 && !context.image.heap().is_some_and(is_piece) {
                        let what = format!(
                            "free of 0x{address:x}, which malloc did not give, or which is free already"
                        );
                        return Err(Fault::new(TrapKind::IllegalAddress, lane, what));
                    }
                }
                Ok(())
            }
        }
    }

    /// Puts a result into the caller's frame.
    fn answer(&mut self, plan: &CallPlan, lane: u32, value: u64) {
        let Some(result) = plan.results.first() else { return };
        let first = (self.f.local + result.caller) as usize / 4;
        let words = [value as u32, (value >> 32) as u32];
        for (index, word) in words.into_iter().take(result.bytes.div_ceil(4) as usize).enumerate() {
            if let Some(place) = self.local.get_mut(first + index) {
                place.0[lane as usize] = word;
            }
        }
    }

    /// An argument as an integer, from the caller's frame.
    fn argument(&self, plan: &CallPlan, index: usize, lane: u32) -> u64 {
        let Some(passed) = plan.arguments.get(index) else { return 0 };
        let first = (self.f.local + passed.caller) as usize / 4;
        let word = |at: usize| self.local.get(at).map_or(0, |word| u64::from(word.0[lane as usize]));
        if passed.bytes < 8 { word(first) } else { word(first) | word(first + 1) << 32 }
    }

    /// One element of memory at a generic address, for one lane.
    fn peek<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        lane: u32,
        address: u64,
        bytes: u32,
    ) -> Result<u64, Box<Fault>> {
        let intent = Intent::new(AccessKind::Load, MemorySpace::Generic, 1 << lane, bytes);
        let mut value = 0;
        self.reach(context, block, intent, &L64([address; LANES]), |warp, _, reached| {
            let at = address.wrapping_add(reached.delta);
            if reached.space == MemorySpace::Local {
                let word = |index: u64| u64::from(warp.local[(at / 4 + index) as usize].0[lane as usize]);
                value = if bytes == 8 {
                    word(0) | word(1) << 32
                } else {
                    word(0) >> (at % 4 * 8) & (u64::MAX >> (64 - 8 * bytes))
                };
            } else {
                // SAFETY: `reach` has checked bounds and alignment.
                value = unsafe { load_element(at, bytes) };
            }
            Ok(())
        })?;
        Ok(value)
    }

    /// A string that ends with a zero byte; the null pointer is an empty one.
    fn text<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        lane: u32,
        address: u64,
    ) -> Result<Vec<u8>, Box<Fault>> {
        let mut text = Vec::new();
        if address == 0 {
            return Ok(text);
        }
        for index in 0..LONGEST {
            match self.peek(context, block, lane, address.wrapping_add(index), 1)? {
                0 => break,
                byte => text.push(byte as u8),
            }
        }
        Ok(text)
    }

    /// Formats as `printf` does; returns the text and the number of arguments used.
    fn format<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        lane: u32,
        format: &[u8],
        arguments: u64,
    ) -> Result<(Vec<u8>, u32), Box<Fault>> {
        let mut out = Vec::new();
        let mut list = Arguments { lane, base: arguments, at: 0, count: 0 };
        let mut rest = format;
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            if byte != b'%' {
                out.push(byte);
                continue;
            }
            let ends = |c: &u8| c.is_ascii_alphabetic() && !b"hljztL".contains(c) || *c == b'%';
            let Some(length) = rest.iter().position(ends) else {
                out.push(b'%');
                continue;
            };
            let mut spec = Spec::read(&rest[..length], rest[length]);
            rest = &rest[length + 1..];
            if spec.conversion == b'%' {
                out.push(b'%');
                continue;
            }
            let text = self.conversion(context, block, &mut spec, &mut list)?;
            out.extend_from_slice(spec.pad(&text).as_bytes());
        }
        Ok((out, list.count))
    }

    fn next<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        list: &mut Arguments,
        bytes: u64,
    ) -> Result<u64, Box<Fault>> {
        list.at = list.at.next_multiple_of(bytes);
        let value = self.peek(context, block, list.lane, list.base.wrapping_add(list.at), bytes as u32);
        list.at += bytes;
        list.count += 1;
        value
    }

    /// One converted argument, not yet padded.
    fn conversion<B: BlockObserver>(
        &mut self,
        context: &Context<'_>,
        block: &mut BlockSpace<B>,
        spec: &mut Spec,
        list: &mut Arguments,
    ) -> Result<String, Box<Fault>> {
        if spec.width_from_argument {
            spec.width = (self.next(context, block, list, 4)? as usize).min(WIDEST);
        }
        if spec.precision_from_argument {
            spec.precision = Some((self.next(context, block, list, 4)? as usize).min(WIDEST));
        }
        Ok(match spec.conversion {
            b's' => {
                let address = self.next(context, block, list, 8)?;
                let text = self.text(context, block, list.lane, address)?;
                String::from_utf8_lossy(&text).into_owned()
            }
            b'f' | b'F' | b'e' | b'E' | b'g' | b'G' | b'a' | b'A' => {
                spec.float(f64::from_bits(self.next(context, block, list, 8)?))
            }
            b'p' => format!("0x{:x}", self.next(context, block, list, 8)?),
            b'c' => char::from(self.next(context, block, list, 4)? as u8).to_string(),
            _ => {
                let value = self.next(context, block, list, if spec.long { 8 } else { 4 })?;
                spec.integer(value)
            }
        })
    }
}

/// Where the next argument of a `printf` lies.
struct Arguments {
    lane: u32,
    base: u64,
    at: u64,
    count: u32,
}

/// One conversion of a format string.
struct Spec {
    conversion: u8,
    left: bool,
    zero: bool,
    plus: bool,
    alternate: bool,
    long: bool,
    width: usize,
    width_from_argument: bool,
    precision: Option<usize>,
    precision_from_argument: bool,
}

impl Spec {
    fn read(modifiers: &[u8], conversion: u8) -> Spec {
        let text = String::from_utf8_lossy(modifiers);
        let flags: String = text.chars().take_while(|c| "-+ 0#".contains(*c)).collect();
        let sizes = text[flags.len()..].trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let (width, precision) =
            sizes.split_once('.').map_or((sizes, None), |(width, precision)| (width, Some(precision)));
        Spec {
            conversion,
            left: flags.contains('-'),
            zero: flags.contains('0') && !flags.contains('-'),
            plus: flags.contains('+'),
            alternate: flags.contains('#'),
            long: text.contains('l') || text.contains('j') || text.contains('z') || text.contains('t'),
            width: width.parse::<usize>().unwrap_or(0).min(WIDEST),
            width_from_argument: width == "*",
            precision: precision.map(|digits| digits.parse::<usize>().unwrap_or(0).min(WIDEST)),
            precision_from_argument: precision == Some("*"),
        }
    }

    fn signed(&self, text: String, negative: bool) -> String {
        if negative {
            format!("-{text}")
        } else if self.plus {
            format!("+{text}")
        } else {
            text
        }
    }

    fn integer(&self, value: u64) -> String {
        let value_signed = if self.long { value as i64 } else { i64::from(value as u32 as i32) };
        match self.conversion {
            b'x' if self.alternate => format!("0x{value:x}"),
            b'x' => format!("{value:x}"),
            b'X' => format!("{value:X}"),
            b'o' => format!("{value:o}"),
            b'u' => value.to_string(),
            _ => self.signed(value_signed.unsigned_abs().to_string(), value_signed < 0),
        }
    }

    fn float(&self, value: f64) -> String {
        let negative = value.is_sign_negative();
        let magnitude = value.abs();
        let precision = self.precision.unwrap_or(6);
        let upper = self.conversion.is_ascii_uppercase();
        let text = if !magnitude.is_finite() {
            if magnitude.is_nan() { "nan".to_owned() } else { "inf".to_owned() }
        } else {
            match self.conversion.to_ascii_lowercase() {
                b'e' => exponential(magnitude, precision),
                b'g' => self.shortest(magnitude, precision.max(1)),
                _ => format!("{magnitude:.precision$}"),
            }
        };
        let text = if upper { text.to_uppercase() } else { text };
        self.signed(text, negative)
    }

    /// `%g`: the shorter of fixed and exponential, without trailing zeros.
    fn shortest(&self, magnitude: f64, precision: usize) -> String {
        let scientific = format!("{magnitude:.*e}", precision - 1);
        let exponent: i32 =
            scientific.split_once('e').and_then(|(_, digits)| digits.parse().ok()).unwrap_or(0);
        let trim = |text: String| {
            if self.alternate || !text.contains('.') {
                text
            } else {
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
        };
        if exponent < -4 || exponent >= precision as i32 {
            let text = exponential(magnitude, precision - 1);
            let (mantissa, rest) = text.split_once('e').unwrap_or((&text, ""));
            return format!("{}e{rest}", trim(mantissa.to_owned()));
        }
        trim(format!("{magnitude:.*}", (precision as i32 - 1 - exponent).max(0) as usize))
    }

    fn pad(&self, text: &str) -> String {
        let missing = self.width.saturating_sub(text.chars().count());
        if self.left {
            return format!("{text}{}", " ".repeat(missing));
        }
        let is_number =
            !b"scp".contains(&self.conversion) && !text.ends_with("inf") && !text.ends_with("nan");
        if self.zero && is_number {
            let signs = text.len() - text.trim_start_matches(['-', '+']).len();
            return format!("{}{}{}", &text[..signs], "0".repeat(missing), &text[signs..]);
        }
        format!("{}{text}", " ".repeat(missing))
    }
}

/// `d.ddde±dd`, the exponent with at least two digits.
fn exponential(magnitude: f64, precision: usize) -> String {
    let text = format!("{magnitude:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let value: i32 = exponent.parse().unwrap_or(0);
    let mut out = mantissa.to_owned();
    let _ = write!(out, "e{}{:02}", if value < 0 { '-' } else { '+' }, value.abs());
    out
}

#[cfg(test)]
mod tests {
    use super::Spec;

    #[test]
    fn numbers_look_as_in_c() {
        let float = |spec: &str, conversion: u8, value: f64| {
            let spec = Spec::read(spec.as_bytes(), conversion);
            spec.pad(&spec.float(value))
        };
        assert_eq!(float("", b'f', 1.5), "1.500000");
        assert_eq!(float("8.2", b'f', -1.0), "   -1.00");
        assert_eq!(float("08.2", b'f', -1.0), "-0001.00");
        assert_eq!(float("", b'e', 12345.0), "1.234500e+04");
        assert_eq!(float("", b'g', 0.0001), "0.0001");
        assert_eq!(float("", b'g', 1e-5), "1e-05");
        assert_eq!(float("", b'g', 1_000_000.0), "1e+06");
        assert_eq!(float("", b'f', f64::INFINITY), "inf");
        let int = |spec: &str, conversion: u8, value: u64| {
            let spec = Spec::read(spec.as_bytes(), conversion);
            spec.pad(&spec.integer(value))
        };
        assert_eq!(int("5", b'd', 0xFFFF_FFFF), "   -1");
        assert_eq!(int("-5", b'd', 7), "7    ");
        assert_eq!(int("ll", b'd', u64::MAX), "-1");
        assert_eq!(int("04", b'x', 0xAB), "00ab");
    }
}
