//! Tensor-core products: every shape and type against a product computed from the manual's fragment layout.

use crate::device::{Arg, Device};

/// Elements as integers, and how they are written in memory.
#[derive(Clone, Copy, PartialEq)]
enum Type {
    F16,
    BF16,
    TF32,
    F32,
    F64,
    S8,
    U8,
    S32,
}

impl Type {
    fn bytes(self) -> usize {
        match self {
            Type::S8 | Type::U8 => 1,
            Type::F16 | Type::BF16 => 2,
            Type::TF32 | Type::F32 | Type::S32 => 4,
            Type::F64 => 8,
        }
    }

    /// A register holds this many elements.
    fn packed(self) -> usize {
        (4 / self.bytes()).max(1)
    }

    fn encode(self, value: i64) -> u64 {
        match self {
            Type::F16 => half::f16::from_f64(value as f64).to_bits().into(),
            Type::BF16 => half::bf16::from_f64(value as f64).to_bits().into(),
            Type::TF32 | Type::F32 => (value as f32).to_bits().into(),
            Type::F64 => (value as f64).to_bits(),
            Type::S8 | Type::U8 => u64::from(value as u8),
            Type::S32 => u64::from(value as u32),
        }
    }
}

/// Row and column (for b: k and column) of element `i` of register `r` of a lane.
fn place(role: char, ty: Type, r: usize, i: usize, lane: usize, rows: usize) -> (usize, usize) {
    let (group, thread) = (lane / 4, lane % 4);
    let wide = ty.packed();
    match role {
        'a' => {
            let halves = rows / 8;
            (group + 8 * (r % halves), thread * wide + i + r / halves * 4 * wide)
        }
        'b' => (thread * wide + i + r * 4 * wide, group),
        // Sums of 16 bits come two in a register.
        _ if ty == Type::F16 => (group + 8 * r, thread * 2 + i),
        _ => (group + 8 * (r / 2), thread * 2 + r % 2),
    }
}

fn value(role: char, ty: Type, row: usize, column: usize) -> i64 {
    let raw = (row * 7 + column * 13 + role as usize) % 9;
    if ty == Type::U8 { raw as i64 + 200 } else { raw as i64 - 4 }
}

/// The fragments of all lanes, register by register.
fn fragments(role: char, ty: Type, registers: usize, rows: usize) -> Vec<u64> {
    let mut all = Vec::new();
    for r in 0..registers {
        for lane in 0..32 {
            let per = if role == 'c' && ty != Type::F16 { 1 } else { ty.packed() };
            let bits = (0..per).fold(0, |bits, i| {
                let (row, column) = place(role, ty, r, i, lane, rows);
                bits | ty.encode(value(role, ty, row, column)) << (8 * ty.bytes() * i)
            });
            all.push(bits);
        }
    }
    all
}

struct Product {
    name: &'static str,
    types: [Type; 3],
    shape: [usize; 3],
    registers: [usize; 3],
}

fn list(prefix: &str, count: usize) -> String {
    let names: Vec<String> = (0..count).map(|i| format!("%{prefix}{i}")).collect();
    format!("{{{}}}", names.join(", "))
}

fn kernel(product: &Product) -> String {
    let wide = product.types[2] == Type::F64;
    let (ty, bytes) = if wide { ("b64", 8) } else { ("b32", 4) };
    let mut text = ".version 8.8\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 pa, .param .u64 pb, .param .u64 pc) {\n".to_owned();
    text +=
        &format!(".reg .{ty} %a<9>, %b<9>, %c<9>; .reg .b32 %l; .reg .b64 %p<4>;\nmov.u32 %l, %laneid;\n");
    for (index, role) in ["a", "b", "c"].iter().enumerate() {
        text +=
            &format!("ld.param.u64 %p{index}, [p{role}]; mad.wide.u32 %p{index}, %l, {bytes}, %p{index};\n");
        for r in 0..product.registers[index] {
            text += &format!("ld.global.{ty} %{role}{r}, [%p{index}+{}];\n", r * 32 * bytes);
        }
    }
    let [a, b, c] = product.registers;
    text += &format!(
        "mma.sync.aligned.{} {}, {}, {}, {};\n",
        product.name,
        list("c", c),
        list("a", a),
        list("b", b),
        list("c", c)
    );
    for r in 0..c {
        text += &format!("st.global.{ty} [%p2+{}], %c{r};\n", r * 32 * bytes);
    }
    text + "ret;\n}\n"
}

fn check(product: &Product) {
    let [m, _, k] = product.shape;
    let [a_type, b_type, c_type] = product.types;
    let device = Device::load(&kernel(product));
    let upload = |values: &[u64]| {
        let words: Vec<u32> = if c_type == Type::F64 {
            values.iter().flat_map(|v| [*v as u32, (*v >> 32) as u32]).collect()
        } else {
            values.iter().map(|v| *v as u32).collect()
        };
        device.upload_u32(&words)
    };
    let c = fragments('c', c_type, product.registers[2], m);
    let (pa, pb, pc) = (
        upload(&fragments('a', a_type, product.registers[0], m)),
        upload(&fragments('b', b_type, product.registers[1], m)),
        upload(&c),
    );
    device.launch("k", [1, 1, 1], [32, 1, 1], 0, &[Arg::U64(pa), Arg::U64(pb), Arg::U64(pc)]);
    let words = device.download_u32(pc, c.len() * if c_type == Type::F64 { 2 } else { 1 });
    for r in 0..product.registers[2] {
        for lane in 0..32 {
            let index = r * 32 + lane;
            let got = if c_type == Type::F64 {
                u64::from(words[2 * index + 1]) << 32 | u64::from(words[2 * index])
            } else {
                words[index].into()
            };
            let per = if c_type == Type::F16 { 2 } else { 1 };
            let expected = (0..per).fold(0, |bits, i| {
                let (row, column) = place('c', c_type, r, i, lane, m);
                let products = (0..k).map(|k| value('a', a_type, row, k) * value('b', b_type, k, column));
                bits | c_type.encode(value('c', c_type, row, column) + products.sum::<i64>())
                    << (8 * c_type.bytes() * i)
            });
            assert_eq!(got, expected, "{} register {r} lane {lane}", product.name);
        }
    }
}

#[test]
fn every_shape_and_type() {
    use Type::{BF16, F16, F32, F64, S8, S32, TF32, U8};
    let product = |name, types, shape, registers| check(&Product { name, types, shape, registers });
    product("m16n8k16.row.col.f32.bf16.bf16.f32", [BF16, BF16, F32], [16, 8, 16], [4, 2, 4]);
    product("m16n8k8.row.col.f32.bf16.bf16.f32", [BF16, BF16, F32], [16, 8, 8], [2, 1, 4]);
    product("m16n8k16.row.col.f32.f16.f16.f32", [F16, F16, F32], [16, 8, 16], [4, 2, 4]);
    product("m16n8k8.row.col.f32.f16.f16.f32", [F16, F16, F32], [16, 8, 8], [2, 1, 4]);
    product("m16n8k16.row.col.f16.f16.f16.f16", [F16, F16, F16], [16, 8, 16], [4, 2, 2]);
    product("m16n8k8.row.col.f16.f16.f16.f16", [F16, F16, F16], [16, 8, 8], [2, 1, 2]);
    product("m16n8k8.row.col.f32.tf32.tf32.f32", [TF32, TF32, F32], [16, 8, 8], [4, 2, 4]);
    product("m16n8k4.row.col.f32.tf32.tf32.f32", [TF32, TF32, F32], [16, 8, 4], [2, 1, 4]);
    product("m16n8k32.row.col.s32.s8.s8.s32", [S8, S8, S32], [16, 8, 32], [4, 2, 4]);
    product("m16n8k32.row.col.s32.u8.s8.s32", [U8, S8, S32], [16, 8, 32], [4, 2, 4]);
    product("m16n8k16.row.col.s32.s8.u8.s32", [S8, U8, S32], [16, 8, 16], [2, 1, 4]);
    product("m8n8k16.row.col.satfinite.s32.u8.u8.s32", [U8, U8, S32], [8, 8, 16], [1, 1, 2]);
    product("m8n8k4.row.col.f64.f64.f64.f64", [F64, F64, F64], [8, 8, 4], [1, 1, 2]);
}
