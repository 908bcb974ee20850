//! Modules.

use std::ffi::{c_char, c_void};

use super::call::{Bytes, In, Out};
use super::jit::{Options, read_file, read_image};
use crate::driver::code::Source;
use crate::driver::error::{Error, Result};
use crate::driver::module::Module;
use crate::driver::{capture, context, driver, report};

fn load(out: Out<usize>, source: Source, options: &Options) -> Result<()> {
    out.check()?;
    let context = context::current()?;
    capture::check_unsafe_call()?;
    let program = options.compile(source)?;
    out.put(Module::load(&context, program)?.handle)
}

/// What `cuModuleGetFunctionCount` and its kin count: the kernels of a module.
fn names(module: usize) -> Result<Vec<String>> {
    let module = driver()?.modules.get(module)?;
    Ok(module.image().program().kernels().map(str::to_owned).collect())
}

api! {
    table TABLE;

    fn cuModuleLoad(out: Out<usize>, path: In<c_char>) {
        load(out, read_file(&path.text()?)?, &Options::none())
    }

    fn cuModuleLoadData(out: Out<usize>, image: Bytes) {
        load(out, read_image(image)?, &Options::none())
    }

    fn cuModuleLoadDataEx(out: Out<usize>, image: Bytes, count: u32, keys: In<u32>, values: In<usize>) {
        load(out, read_image(image)?, &Options::read(count, keys, values)?)
    }

    fn cuModuleLoadFatBinary(out: Out<usize>, image: Bytes) {
        load(out, read_image(image)?, &Options::none())
    }

    fn cuModuleUnload(module: usize) {
        context::current()?;
        driver()?.modules.get(module)?.unload()
    }

    fn cuModuleGetFunction(out: Out<usize>, module: usize, name: In<c_char>) {
        out.check()?;
        out.put(driver()?.modules.get(module)?.function(&name.text()?)?.handle)
    }

    fn cuModuleGetFunctionCount(count: Out<u32>, module: usize) {
        count.put(names(module)?.len() as u32)
    }

    fn cuModuleEnumerateFunctions(out: Out<usize>, room: u32, module: usize) {
        let module_object = driver()?.modules.get(module)?;
        let functions: Result<Vec<_>> =
            names(module)?.iter().map(|name| module_object.function(name).map(|function| function.handle)).collect();
        out.check()?;
        out.put_many(functions?, room as usize);
        Ok(())
    }

    fn cuModuleGetGlobal_v2(address: Out<u64>, bytes: Out<usize>, module: usize, name: In<c_char>) {
        let (at, size) = driver()?.modules.get(module)?.variable(&name.text()?)?;
        address.put_if_wanted(at);
        bytes.put_if_wanted(size as usize);
        Ok(())
    }

    fn cuModuleGetTexRef(_out: Out<usize>, module: usize, _name: In<c_char>) {
        driver()?.modules.get(module)?;
        Err(Error::NotFound)
    }

    fn cuModuleGetSurfRef(_out: Out<usize>, module: usize, _name: In<c_char>) {
        driver()?.modules.get(module)?;
        Err(Error::NotFound)
    }

    fn cuModuleGetLoadingMode(mode: Out<u32>) {
        driver()?;
        mode.put(1)
    }

    // They are undocumented, and one of them proves to NVIDIA's runtime that it talks to NVIDIA's driver.
    fn cuGetExportTable(table: Out<*const c_void>, _id: Bytes) {
        static TOLD: std::sync::Once = std::sync::Once::new();
        TOLD.call_once(|| {
            report::tell(
                "a library asks for private tables of NVIDIA's driver, which the virtual driver does not imitate; \
                 programs that cannot do without them, as those of the CUDA runtime API (cuda*), will not run",
            );
        });
        table.put(std::ptr::null())?;
        Err(Error::NotSupported)
    }
}
