//! Random straight-line PTX and an evaluator of its own.
//!
//! The evaluator was written from the PTX manual and shares nothing with the machine: integers in 128 bits, floats as
//! exact rationals of any size that are rounded once. What it chooses is drawn from bytes, so that a property test and
//! a fuzzer can both steer it.

mod bitwise;
mod comparison;
mod conversion;
mod floating;
mod instruction;
mod integer;
mod moves;
mod natural;
mod program;
mod real;

pub(crate) use program::check;

use instruction::{Choice, Instruction};

type Family = fn(&mut Choice<'_>) -> Instruction;

/// Every kind of instruction that can be drawn.
const FAMILIES: &[Family] = &[
    integer::two_sources,
    integer::one_source,
    integer::sad,
    integer::products,
    integer::products24,
    integer::pairs,
    integer::carries,
    integer::dot_products,
    bitwise::counts,
    bitwise::bfind,
    bitwise::fns,
    bitwise::bfe,
    bitwise::bfi,
    bitwise::masks,
    bitwise::logic,
    bitwise::lop3,
    bitwise::shifts,
    bitwise::funnel,
    bitwise::prmt,
    floating::arithmetic,
    floating::fma,
    floating::division,
    floating::signs,
    floating::extremes,
    floating::classes,
    comparison::setp,
    comparison::set,
    comparison::selp,
    comparison::slct,
    conversion::integer_to_integer,
    conversion::integer_to_float,
    conversion::float_to_integer,
    conversion::float_to_float,
    conversion::narrowing,
    conversion::to_tf32,
    conversion::packed,
    moves::mov,
    moves::packing,
    moves::store,
    moves::load,
];

fn draw(choice: &mut Choice<'_>) -> Instruction {
    choice.of(FAMILIES)(choice)
}

/// Texts of many drawn instructions, always the same.
pub(crate) fn texts(count: u64) -> impl Iterator<Item = String> {
    (0..count).map(|number| {
        let bytes: Vec<u8> =
            (0..4).flat_map(|i| (number * 4 + i).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()).collect();
        draw(&mut Choice::new(&bytes)).text
    })
}
