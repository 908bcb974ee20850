//! What all warps of a launch share and nobody changes.

use super::image::Image;
use super::lanes::{Isa, L32, LANES};
use super::launch::{LaunchSpec, Options};
use crate::isa::R;
use crate::isa::special::Special;
use crate::lower::Program;
use crate::lower::program::{Constant, SharedLayout};
use crate::memory::Snapshot;

/// A constant whose addresses are known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Filled {
    Bits32(u32),
    Bits64(u64),
    Bits128(u128),
    Special(Special),
}

/// A launch.
pub(crate) struct Context<'l> {
    pub(crate) program: &'l Program,
    pub(crate) image: &'l Image,
    pub(crate) kernel: u32,
    pub(crate) spec: &'l LaunchSpec,
    pub(crate) options: &'l Options,
    pub(crate) memory: Snapshot,
    pub(crate) isa: Isa,
    pub(super) constants: Vec<Vec<(R, Filled)>>,
    pub(crate) shared_bytes: u32,
    pub(super) threads: u32,
}

impl<'l> Context<'l> {
    pub(super) fn new(
        image: &'l Image,
        kernel: u32,
        spec: &'l LaunchSpec,
        options: &'l Options,
        memory: Snapshot,
    ) -> Self {
        let program: &Program = image.program();
        let layout = program.shared_layout(kernel);
        let reachable = program.reachable(kernel);
        let mut constants = vec![Vec::new(); program.functions.len()];
        for index in reachable {
            constants[index as usize] = program.functions[index as usize]
                .constants
                .iter()
                .map(|&(r, c)| (r, fill(c, image, &layout)))
                .collect();
        }
        Self {
            program,
            image,
            kernel,
            spec,
            options,
            memory,
            isa: options.isa.min(Isa::detect()),
            constants,
            shared_bytes: layout.static_bytes.saturating_add(spec.dynamic_shared),
            threads: spec.block.iter().product(),
        }
    }

    /// Warps of a block.
    pub(super) fn warps(&self) -> u32 {
        self.threads.div_ceil(LANES as u32)
    }

    /// The three-dimensional index of a thread.
    pub(crate) fn thread_index(&self, linear: u32) -> [u32; 3] {
        let [x, y, _] = self.spec.block.map(|extent| extent.max(1));
        [linear % x, linear / x % y, linear / x / y]
    }

    /// A special register of a warp.
    pub(super) fn special(&self, special: Special, block: [u32; 3], warp: u32) -> L32 {
        let (grid, dim) = (self.spec.grid, self.spec.block);
        let all = |value: u32| L32([value; LANES]);
        let by_lane = |f: &dyn Fn(u32) -> u32| L32(std::array::from_fn(|lane| f(lane as u32)));
        let thread = |axis: usize| by_lane(&|lane| self.thread_index(warp * 32 + lane)[axis]);
        match special {
            Special::TidX => thread(0),
            Special::TidY => thread(1),
            Special::TidZ => thread(2),
            Special::NtidX => all(dim[0]),
            Special::NtidY => all(dim[1]),
            Special::NtidZ => all(dim[2]),
            Special::CtaidX => all(block[0]),
            Special::CtaidY => all(block[1]),
            Special::CtaidZ => all(block[2]),
            Special::NctaidX => all(grid[0]),
            Special::NctaidY => all(grid[1]),
            Special::NctaidZ => all(grid[2]),
            Special::TidW | Special::NtidW | Special::CtaidW | Special::NctaidW => all(0),
            Special::LaneId => by_lane(&|lane| lane),
            Special::WarpId => all(warp),
            Special::NwarpId => all(self.warps()),
            Special::SmId => all(block[0] % self.options.multiprocessors.max(1)),
            Special::NsmId => all(self.options.multiprocessors),
            Special::GridId => all(0),
            Special::LanemaskEq => by_lane(&|lane| 1 << lane),
            Special::LanemaskLe => by_lane(&|lane| u32::MAX >> (31 - lane)),
            Special::LanemaskLt => by_lane(&|lane| (1 << lane) - 1),
            Special::LanemaskGe => by_lane(&|lane| u32::MAX << lane),
            Special::LanemaskGt => by_lane(&|lane| !(u32::MAX >> (31 - lane))),
            Special::DynamicSmemSize => all(self.spec.dynamic_shared),
            Special::TotalSmemSize | Special::AggrSmemSize => all(self.shared_bytes),
            Special::WarpSize => all(LANES as u32),
            // Bits 1 and 2 hold the address of the grid-synchronisation workspace on hardware.
            Special::Envreg1 | Special::Envreg2 => all(0),
            Special::ClusteridX => all(block[0]),
            Special::ClusterCtaRank => all(0),
            Special::ClusterNctaRank => all(1),
        }
    }
}

fn fill(constant: Constant, image: &Image, layout: &SharedLayout) -> Filled {
    let shared = |index: u32, offset: i64| {
        u64::from(layout.offsets[index as usize].unwrap_or(0)).wrapping_add_signed(offset)
    };
    match constant {
        Constant::Bits32(bits) => Filled::Bits32(bits),
        Constant::Bits64(bits) => Filled::Bits64(bits),
        Constant::Bits128(bits) => Filled::Bits128(bits),
        Constant::Variable(index, offset) => {
            Filled::Bits64(image.variable_address(index).wrapping_add_signed(offset))
        }
        Constant::Shared(index, offset) => Filled::Bits64(shared(index, offset)),
        Constant::Shared32(index, offset) => Filled::Bits32(shared(index, offset) as u32),
        Constant::Function(index) => Filled::Bits64(Image::function_address(index)),
        Constant::Special(special) => Filled::Special(special),
    }
}
