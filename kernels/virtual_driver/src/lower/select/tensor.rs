//! Tensor-core instructions: fragments and products.

use super::moves::space_word;
use super::operands::width;
use super::words::Words;
use super::{Selected, Selector};
use crate::isa::memory::MemorySpace;
use crate::isa::tensor::{Role, Shape, Tensor};
use crate::isa::{Op, R, Scalar, Width};
use crate::ptx::ast::Operand;

const SHAPES: &[(&str, Shape)] = &[
    ("m16n8k4", Shape { m: 16, n: 8, k: 4 }),
    ("m16n8k8", Shape { m: 16, n: 8, k: 8 }),
    ("m16n8k16", Shape { m: 16, n: 8, k: 16 }),
    ("m16n8k32", Shape { m: 16, n: 8, k: 32 }),
    ("m8n8k4", Shape { m: 8, n: 8, k: 4 }),
    ("m8n8k16", Shape { m: 8, n: 8, k: 16 }),
    ("m16n16k16", Shape { m: 16, n: 16, k: 16 }),
    ("m8n32k16", Shape { m: 8, n: 32, k: 16 }),
    ("m32n8k16", Shape { m: 32, n: 8, k: 16 }),
];

/// 32-bit registers (64-bit for f64) a lane holds of a matrix of the given size.
fn fragment_registers(rows: u8, columns: u8, ty: Scalar) -> usize {
    let elements = usize::from(rows) * usize::from(columns) / 32;
    (elements * ty.bytes() as usize).div_ceil(if ty == Scalar::F64 { 8 } else { 4 })
}

/// The products of matrices the machine knows.
fn exists(shape: Shape, a: Scalar, b: Scalar, c: Scalar) -> bool {
    let float = |inputs| a == inputs && b == inputs;
    match (shape.m, shape.n, shape.k) {
        (16, 8, 8) => {
            (float(Scalar::F16) && matches!(c, Scalar::F16 | Scalar::F32))
                || (float(Scalar::BF16) || float(Scalar::TF32)) && c == Scalar::F32
        }
        (16, 8, 16) => {
            (float(Scalar::F16) && matches!(c, Scalar::F16 | Scalar::F32))
                || (float(Scalar::BF16) && c == Scalar::F32)
                || is_bytes(a, b, c)
        }
        (16, 8, 32) | (8, 8, 16) => is_bytes(a, b, c),
        (16, 8, 4) => float(Scalar::TF32) && c == Scalar::F32,
        (8, 8, 4) => float(Scalar::F64) && c == Scalar::F64,
        _ => false,
    }
}

fn is_bytes(a: Scalar, b: Scalar, c: Scalar) -> bool {
    matches!(a, Scalar::S8 | Scalar::U8) && matches!(b, Scalar::S8 | Scalar::U8) && c == Scalar::S32
}

impl Selector<'_> {
    pub(super) fn move_matrix(&mut self, operands: &[Operand]) -> Selected {
        self.count(operands, 2)?;
        let a = self.source(&operands[1], Scalar::B32)?;
        let d = self.destination(&operands[0], Scalar::B32)?;
        self.emit(Op::Tensor(Box::new(Tensor::MoveMatrix { d, a })));
        Ok(())
    }

    pub(super) fn matrix(&mut self, loads: bool, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        words.ignore(&["sync", "aligned"]);
        if !words.take("m8n8") {
            return Err(".m8n8 is needed".to_owned());
        }
        let count = words.need(&[("x1", 1_u8), ("x2", 2), ("x4", 4)])?;
        let transposed = words.take("trans");
        let space = space_word(&mut words);
        words.scalar()?;
        words.finish()?;
        self.count(operands, 2)?;
        let (place, values) = if loads { (1, 0) } else { (0, 1) };
        let (address, named) = self.address(&operands[place])?;
        let space = named.or(space).unwrap_or(MemorySpace::Generic);
        let registers = self.fragment(&operands[values], usize::from(count), Scalar::B32, loads)?;
        self.emit(Op::Tensor(Box::new(if loads {
            Tensor::LoadMatrix { count, transposed, d: registers, address, space }
        } else {
            Tensor::StoreMatrix { count, transposed, a: registers, address, space }
        })));
        Ok(())
    }

    /// The registers of a fragment.
    fn fragment(
        &mut self,
        operand: &Operand,
        count: usize,
        scalar: Scalar,
        writes: bool,
    ) -> Result<Vec<R>, String> {
        let single = std::slice::from_ref(operand);
        let items = if let Operand::Vector(items) = operand { items } else { single };
        if items.len() != count {
            return Err(format!("the fragment {operand} has {} registers, {count} are needed", items.len()));
        }
        let mut registers = Vec::with_capacity(count);
        for item in items {
            registers.push(if writes { self.destination(item, scalar)? } else { self.source(item, scalar)? });
        }
        if registers.iter().any(|r| self.out.widths[r.0 as usize] == Width::W128) {
            return Err("a fragment has registers of 32 or 64 bits".to_owned());
        }
        Ok(registers)
    }

    pub(super) fn mma(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        words.ignore(&["sync", "aligned"]);
        let shape = words.need(SHAPES)?;
        // The only layout of these shapes: a by rows, b by columns.
        if !(words.take("row") && words.take("col")) {
            return Err(".row.col is needed".to_owned());
        }
        let sat = words.take("satfinite");
        let (d_type, a_type, b_type, c_type) =
            (words.scalar()?, words.scalar()?, words.scalar()?, words.scalar()?);
        words.finish()?;
        if d_type != c_type || !exists(shape, a_type, b_type, c_type) {
            return Err("no such product on sm_80".to_owned());
        }
        self.count(operands, 4)?;
        let register = |ty: Scalar| if ty == Scalar::F64 { Scalar::F64 } else { Scalar::B32 };
        let a = self.fragment(
            &operands[1],
            fragment_registers(shape.m, shape.k, a_type),
            register(a_type),
            false,
        )?;
        let b = self.fragment(
            &operands[2],
            fragment_registers(shape.k, shape.n, b_type),
            register(b_type),
            false,
        )?;
        let c_count = fragment_registers(shape.m, shape.n, c_type);
        let c = self.fragment(&operands[3], c_count, register(c_type), false)?;
        let d = self.fragment(&operands[0], c_count, register(c_type), true)?;
        debug_assert!(d.iter().all(|r| self.out.widths[r.0 as usize] == width(register(c_type))));
        self.emit(Op::Tensor(Box::new(Tensor::Multiply { shape, a_type, b_type, c_type, sat, d, a, b, c })));
        Ok(())
    }

    /// Registers of a `wmma` fragment. Their layout is the machine's own business; it is stated at the executor.
    fn wmma_registers(role: Role, shape: Shape, ty: Scalar) -> Result<usize, String> {
        let fragments = [Scalar::F16, Scalar::BF16, Scalar::F32, Scalar::S8, Scalar::U8, Scalar::S32];
        if !fragments.contains(&ty) {
            return Err(format!("no fragment of {ty}"));
        }
        let bytes = ty.bytes() as usize;
        let (m, n, k) = (usize::from(shape.m), usize::from(shape.n), usize::from(shape.k));
        let elements = match role {
            Role::A => m * k,
            Role::B => k * n,
            Role::C => m * n,
        };
        // 16-bit float factors of m16n16k16 are held twice, as on hardware: 8 registers instead of 4.
        let registers = (elements * bytes).div_ceil(128).max(1);
        let doubled = ty == Scalar::F16 && role != Role::C;
        Ok(if doubled { 8 } else { registers })
    }

    pub(super) fn wmma(&mut self, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        words.ignore(&["sync", "aligned"]);
        let action = words.need(&[("load", 0), ("store", 1), ("mma", 2)])?;
        let role = words.choose(&[("a", Role::A), ("b", Role::B), ("c", Role::C), ("d", Role::C)]);
        let shape = words.need(SHAPES)?;
        if shape.k != 16 || shape.m == 16 && shape.n == 8 {
            return Err("no such shape".to_owned());
        }
        if action == 2 {
            return self.wmma_multiply(shape, words, operands);
        }
        let role = role.ok_or("the matrix (.a, .b, .c, .d) is missing")?;
        let row_major = words.need(&[("row", true), ("col", false)])?;
        let space = space_word(&mut words);
        let ty = words.scalar()?;
        words.finish()?;
        let (place, values) = if action == 0 { (1, 0) } else { (0, 1) };
        if !matches!(operands.len(), 2 | 3) {
            return Err("two or three operands are needed".to_owned());
        }
        let (address, named) = self.address(&operands[place])?;
        let space = named.or(space).unwrap_or(MemorySpace::Generic);
        let (rows, columns) = match role {
            Role::A => (shape.m, shape.k),
            Role::B => (shape.k, shape.n),
            Role::C => (shape.m, shape.n),
        };
        let stride = match operands.get(2) {
            Some(operand) => self.source(operand, Scalar::U32)?,
            None => self.bits32(u32::from(if row_major { columns } else { rows })),
        };
        let count = Self::wmma_registers(role, shape, ty)?;
        let registers = self.fragment(&operands[values], count, Scalar::B32, action == 0)?;
        self.emit(Op::Tensor(Box::new(if action == 0 {
            Tensor::LoadFragment { role, shape, row_major, ty, d: registers, address, space, stride }
        } else {
            Tensor::StoreFragment { shape, row_major, ty, a: registers, address, space, stride }
        })));
        Ok(())
    }

    fn wmma_multiply(&mut self, shape: Shape, mut words: Words<'_>, operands: &[Operand]) -> Selected {
        // Layout words describe how the fragments were loaded; registers look the same either way.
        for _ in 0..2 {
            words.need(&[("row", 0), ("col", 1)])?;
        }
        let sat = words.take("satfinite");
        let first = words.scalar()?;
        let second = words.scalar()?;
        let (d_type, ty, c_type) = match (words.scalar(), words.scalar()) {
            (Ok(third), Ok(fourth)) if second == third => (first, second, fourth),
            (Err(_), _) => (first, Scalar::F16, second),
            _ => return Err("factors of two types".to_owned()),
        };
        words.finish()?;
        self.count(operands, 4)?;
        let a = self.fragment(&operands[1], Self::wmma_registers(Role::A, shape, ty)?, Scalar::B32, false)?;
        let b = self.fragment(&operands[2], Self::wmma_registers(Role::B, shape, ty)?, Scalar::B32, false)?;
        let c =
            self.fragment(&operands[3], Self::wmma_registers(Role::C, shape, c_type)?, Scalar::B32, false)?;
        let d =
            self.fragment(&operands[0], Self::wmma_registers(Role::C, shape, d_type)?, Scalar::B32, true)?;
        self.emit(Op::Tensor(Box::new(Tensor::MultiplyFragments {
            shape,
            ty,
            c_type,
            d_type,
            sat,
            d,
            a,
            b,
            c,
        })));
        Ok(())
    }
}
