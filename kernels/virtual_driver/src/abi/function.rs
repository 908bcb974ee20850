//! Functions and their attributes.

use std::ffi::c_char;

use super::call::Out;
use crate::driver::driver;
use crate::driver::error::{Error, Result};
use crate::driver::function::Function;
use crate::driver::module::resolve_function;

/// Offset and size of a parameter.
pub(super) fn put_param(
    function: &Function,
    index: usize,
    offset: Out<usize>,
    bytes: Out<usize>,
) -> Result<()> {
    let param = function.facts.params.get(index).ok_or(Error::InvalidValue)?;
    offset.put(param.offset as usize)?;
    bytes.put_if_wanted(param.bytes as usize);
    Ok(())
}

api! {
    table TABLE;

    fn cuFuncGetAttribute(value: Out<i32>, attribute: i32, function: usize) {
        value.put(resolve_function(function)?.attribute(attribute)?)
    }

    fn cuFuncSetAttribute(function: usize, attribute: i32, value: i32) {
        resolve_function(function)?.set_attribute(attribute, value)
    }

    fn cuFuncSetCacheConfig(function: usize, _config: u32) {
        resolve_function(function).map(drop)
    }

    fn cuFuncSetSharedMemConfig(function: usize, _config: u32) {
        resolve_function(function).map(drop)
    }

    fn cuFuncGetModule(module: Out<usize>, function: usize) {
        module.put(resolve_function(function)?.module()?.handle)
    }

    fn cuFuncGetName(name: Out<*const c_char>, function: usize) {
        name.put(resolve_function(function)?.name.as_ptr())
    }

    fn cuFuncGetParamInfo(function: usize, index: usize, offset: Out<usize>, bytes: Out<usize>) {
        put_param(&*resolve_function(function)?, index, offset, bytes)
    }

    fn cuFuncGetParamCount(function: usize, count: Out<usize>) {
        count.put(resolve_function(function)?.facts.params.len())
    }

    fn cuKernelGetParamCount(kernel: usize, count: Out<usize>) {
        count.put(driver()?.kernels.get(kernel)?.function()?.facts.params.len())
    }

    fn cuFuncIsLoaded(state: Out<u32>, function: usize) {
        resolve_function(function)?;
        state.put(1)
    }

    fn cuFuncLoad(function: usize) {
        resolve_function(function).map(drop)
    }
}
