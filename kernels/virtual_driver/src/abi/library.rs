//! Libraries: code without a context, and its kernels.

use std::ffi::c_char;

use super::call::{Bytes, In, Out};
use super::jit::{Options, read_file, read_image};
use crate::driver::code::Source;
use crate::driver::driver;
use crate::driver::error::{Error, Result};
use crate::driver::module::Library;

fn load(out: Out<usize>, source: Source, options: &Options) -> Result<()> {
    driver()?;
    out.check()?;
    out.put(Library::create(options.compile(source)?)?.handle)
}

api! {
    table TABLE;

    fn cuLibraryLoadData(
        out: Out<usize>, code: Bytes, keys: In<u32>, values: In<usize>, count: u32,
        _library_keys: In<u32>, _library_values: In<usize>, _library_count: u32,
    ) {
        load(out, read_image(code)?, &Options::read(count, keys, values)?)
    }

    fn cuLibraryLoadFromFile(
        out: Out<usize>, path: In<c_char>, keys: In<u32>, values: In<usize>, count: u32,
        _library_keys: In<u32>, _library_values: In<usize>, _library_count: u32,
    ) {
        load(out, read_file(&path.text()?)?, &Options::read(count, keys, values)?)
    }

    fn cuLibraryUnload(library: usize) {
        driver()?.libraries.get(library)?.unload()
    }

    fn cuLibraryGetKernel(out: Out<usize>, library: usize, name: In<c_char>) {
        out.check()?;
        out.put(driver()?.libraries.get(library)?.kernel(&name.text()?)?.handle)
    }

    fn cuLibraryGetKernelCount(count: Out<u32>, library: usize) {
        count.put(driver()?.libraries.get(library)?.kernel_names().len() as u32)
    }

    fn cuLibraryEnumerateKernels(out: Out<usize>, room: u32, library: usize) {
        let library = driver()?.libraries.get(library)?;
        let names = library.kernel_names();
        let kernels: Result<Vec<_>> =
            names.iter().map(|name| library.kernel(name).map(|kernel| kernel.handle)).collect();
        out.check()?;
        out.put_many(kernels?, room as usize);
        Ok(())
    }

    fn cuLibraryGetModule(out: Out<usize>, library: usize) {
        out.put(driver()?.libraries.get(library)?.module()?.handle)
    }

    fn cuLibraryGetGlobal(address: Out<u64>, bytes: Out<usize>, library: usize, name: In<c_char>) {
        let (at, size) = driver()?.libraries.get(library)?.module()?.variable(&name.text()?)?;
        address.put_if_wanted(at);
        bytes.put_if_wanted(size as usize);
        Ok(())
    }

    fn cuLibraryGetManaged(_address: Out<u64>, _bytes: Out<usize>, library: usize, _name: In<c_char>) {
        driver()?.libraries.get(library)?;
        Err(Error::NotFound)
    }

    fn cuKernelGetFunction(out: Out<usize>, kernel: usize) {
        out.put(driver()?.kernels.get(kernel)?.function()?.handle)
    }

    fn cuKernelGetLibrary(out: Out<usize>, kernel: usize) {
        out.put(driver()?.kernels.get(kernel)?.library)
    }

    fn cuKernelGetAttribute(value: Out<i32>, attribute: i32, kernel: usize, device: i32) {
        let driver = driver()?;
        driver.device(device)?;
        value.put(driver.kernels.get(kernel)?.function()?.attribute(attribute)?)
    }

    fn cuKernelSetAttribute(attribute: i32, value: i32, kernel: usize, device: i32) {
        let driver = driver()?;
        driver.device(device)?;
        driver.kernels.get(kernel)?.function()?.set_attribute(attribute, value)
    }

    fn cuKernelSetCacheConfig(kernel: usize, _config: u32, _device: i32) {
        driver()?.kernels.get(kernel).map(drop)
    }

    fn cuKernelGetName(name: Out<*const c_char>, kernel: usize) {
        name.put(driver()?.kernels.get(kernel)?.name.as_ptr())
    }

    fn cuKernelGetParamInfo(kernel: usize, index: usize, offset: Out<usize>, bytes: Out<usize>) {
        super::function::put_param(&*driver()?.kernels.get(kernel)?.function()?, index, offset, bytes)
    }
}
