//! Launches of kernels and host functions.

use std::ffi::c_void;
use std::sync::Arc;

use super::call::{Bytes, In, pointer_in_structure, stream_of};
use super::layout::{HostFn, LaunchAttribute, LaunchConfig};
use crate::driver::error::{Error, Result};
use crate::driver::function::Function;
use crate::driver::launch::Launch;
use crate::driver::module::resolve_function;
use crate::driver::work::{Callback, HostCall, Work};
use crate::machine::LaunchSpec;

/// `CU_LAUNCH_PARAM_*`: how the `extra` argument carries the parameters in one buffer.
const END: usize = 0;
const BUFFER: usize = 1;
const BUFFER_BYTES: usize = 2;

/// The parameter block of a launch, from an array of pointers or from one buffer.
pub(super) fn read_params(function: &Function, pointers: In<usize>, extra: In<usize>) -> Result<Vec<u8>> {
    let facts = &function.facts;
    let mut block = vec![0; facts.param_bytes as usize];
    if !extra.is_null() {
        let given = read_extra(extra)?;
        let kept = given.len().min(block.len());
        block[..kept].copy_from_slice(&given[..kept]);
        return if given.len() < block.len() { Err(Error::InvalidValue) } else { Ok(block) };
    }
    if facts.params.is_empty() {
        return Ok(block);
    }
    for (param, pointer) in facts.params.iter().zip(pointers.many(facts.params.len())?) {
        let bytes = pointer_in_structure::<u8>(pointer).many(param.bytes as usize)?;
        let start = param.offset as usize;
        block[start..start + bytes.len()].copy_from_slice(&bytes);
    }
    Ok(block)
}

fn read_extra(extra: In<usize>) -> Result<Vec<u8>> {
    let (mut buffer, mut size) = (None, None);
    let mut at = extra.address() as usize;
    // Two keys exist, so a list that is longer has no end.
    for _ in 0..8 {
        let [key, value] = pointer_in_structure::<[usize; 2]>(at).get()?;
        match key {
            END => break,
            BUFFER => buffer = Some(value),
            BUFFER_BYTES => size = Some(pointer_in_structure::<usize>(value).get()?),
            _ => return Err(Error::InvalidValue),
        }
        at += size_of::<[usize; 2]>();
        if pointer_in_structure::<usize>(at).get()? == END {
            break;
        }
    }
    let (buffer, size) = (buffer.ok_or(Error::InvalidValue)?, size.ok_or(Error::InvalidValue)?);
    pointer_in_structure::<u8>(buffer).many(size)
}

/// Extents of a launch.
pub(super) struct Shape {
    pub(super) grid: [u32; 3],
    pub(super) block: [u32; 3],
    pub(super) dynamic_shared: u32,
    pub(super) cooperative: bool,
}

/// Makes a checked launch.
pub(super) fn prepare(
    function: usize,
    shape: Shape,
    pointers: In<usize>,
    extra: In<usize>,
) -> Result<Arc<Launch>> {
    let function = resolve_function(function)?;
    let params = read_params(&function, pointers, extra)?;
    let Shape { grid, block, dynamic_shared, cooperative } = shape;
    let spec = LaunchSpec { grid, block, dynamic_shared, params, cooperative };
    Launch::new(function, spec).map(Arc::new)
}

fn launch(function: usize, shape: Shape, stream: usize, pointers: In<usize>, extra: In<usize>) -> Result<()> {
    let stream = stream_of(stream)?;
    stream.enqueue(Work::Kernel(prepare(function, shape, pointers, extra)?))
}

/// What the attributes of a launch ask for: only whether it is cooperative changes anything here.
fn is_cooperative(attributes: &[LaunchAttribute]) -> Result<bool> {
    const COOPERATIVE: u32 = 2;
    const CLUSTER: u32 = 4;
    let mut cooperative = false;
    for attribute in attributes {
        match attribute.id {
            COOPERATIVE => cooperative = attribute.value[0] != 0,
            CLUSTER if attribute.value[..3] != [1, 1, 1] => return Err(Error::NotSupported),
            0..=14 => {}
            _ => return Err(Error::InvalidValue),
        }
    }
    Ok(cooperative)
}

api! {
    table TABLE;

    fn cuLaunchKernel | cuLaunchKernel_ptsz(
        function: usize, grid_x: u32, grid_y: u32, grid_z: u32, block_x: u32, block_y: u32, block_z: u32,
        dynamic_shared: u32, stream: usize, params: In<usize>, extra: In<usize>,
    ) {
        let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
        launch(function, Shape { grid, block, dynamic_shared, cooperative: false }, stream, params, extra)
    }

    fn cuLaunchCooperativeKernel | cuLaunchCooperativeKernel_ptsz(
        function: usize, grid_x: u32, grid_y: u32, grid_z: u32, block_x: u32, block_y: u32, block_z: u32,
        dynamic_shared: u32, stream: usize, params: In<usize>,
    ) {
        let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
        let shape = Shape { grid, block, dynamic_shared, cooperative: true };
        launch(function, shape, stream, params, pointer_in_structure(0))
    }

    fn cuLaunchKernelEx | cuLaunchKernelEx_ptsz(
        config: In<LaunchConfig>, function: usize, params: In<usize>, extra: In<usize>,
    ) {
        let config = config.get()?;
        let attributes = pointer_in_structure::<LaunchAttribute>(config.attributes);
        let cooperative = is_cooperative(&attributes.many(config.attribute_count as usize)?)?;
        let LaunchConfig { grid, block, dynamic_shared, stream, .. } = config;
        launch(function, Shape { grid, block, dynamic_shared, cooperative }, stream, params, extra)
    }

    fn cuLaunchHostFunc | cuLaunchHostFunc_ptsz(stream: usize, function: HostFn, argument: Bytes) {
        let call = HostCall {
            function: function.ok_or(Error::InvalidValue)?,
            argument: argument.address() as usize,
        };
        stream_of(stream)?.enqueue(Work::Host(call))
    }

    fn cuStreamAddCallback | cuStreamAddCallback_ptsz(
        stream: usize, function: Option<extern "C" fn(usize, u32, *mut c_void)>, argument: Bytes, flags: u32,
    ) {
        let function = function.filter(|_| flags == 0).ok_or(Error::InvalidValue)?;
        let callback = Callback { function, stream, argument: argument.address() as usize };
        stream_of(stream)?.enqueue(Work::Callback(callback))
    }
}
