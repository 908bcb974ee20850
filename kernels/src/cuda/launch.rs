//! One kernel launch as data: which kernel, how many blocks, which arguments. Arguments are checked against the registry.

use super::registry::{Kernel, Parameter};
use crate::ops::error::{OpError, require};

/// Most bytes of arguments of any kernel.
const MAX_ARGUMENT_BYTES: usize = 128;

/// A launch; equal launches do the same to the same memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// What runs.
    pub kernel: Kernel,
    /// Blocks.
    pub grid: [u32; 3],
    arguments: Arguments,
}

/// Arguments packed as the device expects them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(8))]
struct Arguments {
    bytes: [u8; MAX_ARGUMENT_BYTES],
    len: u8,
}

impl Launch {
    /// Packed arguments, each at its natural alignment.
    pub fn argument_bytes(&self) -> &[u8] {
        &self.arguments.bytes[..usize::from(self.arguments.len)]
    }

    /// Offset of each argument in [`Launch::argument_bytes`].
    pub fn argument_offsets(&self) -> impl Iterator<Item = usize> {
        offsets(self.kernel.parameters())
    }

    /// Values of the integer arguments, in order.
    pub fn words(&self) -> impl Iterator<Item = u32> {
        self.arguments_of(Parameter::Word).filter_map(|bytes| bytemuck::try_pod_read_unaligned(bytes).ok())
    }

    /// The shape of the KV cache, where the kernel takes one.
    pub fn layout(&self) -> Option<KvLayout> {
        let words =
            bytemuck::try_pod_read_unaligned::<[u32; 4]>(self.arguments_of(Parameter::Layout).next()?);
        let [num_blocks, kv_heads, block_size, width] = words.ok()?;
        Some(KvLayout { num_blocks, kv_heads, block_size, width })
    }

    fn arguments_of(&self, wanted: Parameter) -> impl Iterator<Item = &[u8]> {
        let all = self.kernel.parameters().iter().zip(self.argument_offsets());
        all.filter(move |(parameter, _)| **parameter == wanted)
            .filter_map(move |(_, start)| self.argument_bytes().get(start..start + wanted.size()))
    }
}

fn offsets(parameters: &'static [Parameter]) -> impl Iterator<Item = usize> {
    parameters.iter().scan(0usize, |end, parameter| {
        let start = end.next_multiple_of(parameter.alignment());
        *end = start + parameter.size();
        Some(start)
    })
}

/// Shape of the KV cache as the kernels see it (attention.cuh).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvLayout {
    /// Blocks of a layer.
    pub num_blocks: u32,
    /// Key/value heads.
    pub kv_heads: u32,
    /// Slots of a block.
    pub block_size: u32,
    /// Elements of a slot.
    pub width: u32,
}

/// Collects a launch's arguments in order.
pub struct LaunchBuilder {
    kernel: Kernel,
    arguments: Arguments,
    count: usize,
    fits: bool,
}

impl LaunchBuilder {
    /// No arguments yet.
    pub fn new(kernel: Kernel) -> Self {
        let arguments = Arguments { bytes: [0; MAX_ARGUMENT_BYTES], len: 0 };
        Self { kernel, arguments, count: 0, fits: true }
    }

    /// Appends an address (0 for none).
    #[must_use]
    pub fn pointer(self, address: u64) -> Self {
        self.push(Parameter::Pointer, &address.to_le_bytes())
    }

    /// Appends an integer.
    #[must_use]
    pub fn word(self, value: u32) -> Self {
        self.push(Parameter::Word, &value.to_le_bytes())
    }

    /// Appends an f32.
    #[must_use]
    pub fn float(self, value: f32) -> Self {
        self.push(Parameter::Float, &value.to_le_bytes())
    }

    /// Appends the shape of the KV cache.
    #[must_use]
    pub fn layout(self, layout: KvLayout) -> Self {
        let words = [layout.num_blocks, layout.kv_heads, layout.block_size, layout.width];
        self.push(Parameter::Layout, bytemuck::bytes_of(&words))
    }

    fn push(mut self, parameter: Parameter, bytes: &[u8]) -> Self {
        let start = usize::from(self.arguments.len).next_multiple_of(parameter.alignment());
        let expected = self.kernel.parameters().get(self.count) == Some(&parameter);
        match self.arguments.bytes.get_mut(start..start + bytes.len()) {
            Some(place) if expected => {
                place.copy_from_slice(bytes);
                self.arguments.len = (start + bytes.len()) as u8;
            }
            Some(_) | None => self.fits = false,
        }
        self.count += 1;
        self
    }

    /// The launch.
    ///
    /// # Errors
    /// The arguments are not those that the registry says, or the grid is empty or larger than CUDA allows.
    pub fn grid(self, x: usize, y: usize) -> Result<Launch, OpError> {
        let name = self.kernel.name();
        require(name, self.fits && self.count == self.kernel.parameters().len(), || {
            format!("{} arguments that do not match {:?}", self.count, self.kernel.parameters())
        })?;
        require(name, (1..=i32::MAX as usize).contains(&x) && (1..=65_535).contains(&y), || {
            format!("a grid of {x} x {y} blocks; the limits are 2147483647 x 65535")
        })?;
        Ok(Launch { kernel: self.kernel, grid: [x as u32, y as u32, 1], arguments: self.arguments })
    }
}
