//! Modules, libraries and kernels: loaded code and how a program finds its parts by name.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::context::{self, Context};
use super::driver;
use super::error::{Error, Result};
use super::function::Function;
use super::handle::{self, Handle};
use crate::lower::Program;
use crate::machine::Image;

/// Code in a context; its variables live as long as it does.
#[derive(Debug)]
pub struct Module {
    /// Its handle.
    pub handle: Handle,
    /// Handle of its context.
    pub context: Handle,
    image: Image,
    functions: Mutex<HashMap<String, Arc<Function>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn variable_addresses(image: &Image) -> impl Iterator<Item = u64> {
    image
        .program()
        .variables
        .iter()
        .filter_map(|variable| image.variable(&variable.name))
        .map(|found| found.0)
}

impl Module {
    /// Loads a program into a context and enters it.
    ///
    /// # Errors
    /// `OutOfMemory` where its variables do not fit.
    pub fn load(context: &Arc<Context>, program: Arc<Program>) -> Result<Arc<Self>> {
        let driver = driver()?;
        let image = Image::load(program, driver.allocations.memory())?;
        variable_addresses(&image).for_each(|at| driver.allocations.adopt_variable(at, context));
        let module = Arc::new(Self {
            handle: handle::fresh(),
            context: context.handle,
            image,
            functions: Mutex::default(),
        });
        driver.modules.insert(module.handle, Arc::clone(&module));
        Ok(module)
    }

    /// The code with its variables.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// A kernel.
    ///
    /// # Errors
    /// `NotFound`
    pub fn function(self: &Arc<Self>, name: &str) -> Result<Arc<Function>> {
        let mut functions = lock(&self.functions);
        if let Some(function) = functions.get(name) {
            return Ok(Arc::clone(function));
        }
        let (index, _) = self.image.kernel(name).ok_or(Error::NotFound)?;
        let function = Arc::new(Function::new(self, index));
        driver()?.functions.insert(function.handle, Arc::clone(&function));
        functions.insert(name.to_owned(), Arc::clone(&function));
        Ok(function)
    }

    /// Address and size of a variable.
    ///
    /// # Errors
    /// `NotFound`
    pub fn variable(&self, name: &str) -> Result<(u64, u64)> {
        self.image.variable(name).ok_or(Error::NotFound)
    }

    /// Takes the module and its functions away; launches that are on their way keep what they need.
    ///
    /// # Errors
    /// `InvalidHandle` where it is gone already.
    pub fn unload(&self) -> Result<()> {
        let driver = driver()?;
        driver.modules.remove(self.handle)?;
        for (_, function) in lock(&self.functions).drain() {
            let _ = driver.functions.remove(function.handle);
        }
        Ok(())
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if let Ok(driver) = driver() {
            variable_addresses(&self.image).for_each(|at| driver.allocations.release_variable(at));
            self.image.unload(driver.allocations.memory());
        }
    }
}

/// Code in no particular context.
#[derive(Debug)]
pub struct Library {
    /// Its handle.
    pub handle: Handle,
    program: Arc<Program>,
    modules: Mutex<HashMap<Handle, Arc<Module>>>,
    kernels: Mutex<HashMap<String, Arc<Kernel>>>,
}

/// A kernel of a library.
#[derive(Debug)]
pub struct Kernel {
    /// Its handle.
    pub handle: Handle,
    /// Handle of its library.
    pub library: Handle,
    /// Its name.
    pub name: CString,
}

impl Library {
    /// Enters a library.
    ///
    /// # Errors
    /// `NotInitialized`
    pub fn create(program: Arc<Program>) -> Result<Arc<Self>> {
        let (modules, kernels) = (Mutex::default(), Mutex::default());
        let library = Arc::new(Self { handle: handle::fresh(), program, modules, kernels });
        driver()?.libraries.insert(library.handle, Arc::clone(&library));
        Ok(library)
    }

    /// Its module in the calling thread's context, loaded when first asked for.
    ///
    /// # Errors
    /// As [`context::current`] and [`Module::load`].
    pub fn module(&self) -> Result<Arc<Module>> {
        let context = context::current()?;
        let mut modules = lock(&self.modules);
        let known = modules
            .get(&context.handle)
            .filter(|module| driver().is_ok_and(|driver| driver.modules.find(module.handle).is_some()));
        if let Some(module) = known {
            return Ok(Arc::clone(module));
        }
        let module = Module::load(&context, Arc::clone(&self.program))?;
        modules.insert(context.handle, Arc::clone(&module));
        Ok(module)
    }

    /// Names of its kernels.
    pub fn kernel_names(&self) -> Vec<String> {
        self.program.kernels().map(str::to_owned).collect()
    }

    /// A kernel.
    ///
    /// # Errors
    /// `NotFound`
    pub fn kernel(&self, name: &str) -> Result<Arc<Kernel>> {
        let mut kernels = lock(&self.kernels);
        if let Some(kernel) = kernels.get(name) {
            return Ok(Arc::clone(kernel));
        }
        self.program.kernel(name).ok_or(Error::NotFound)?;
        let c_name = CString::new(name).map_err(|_| Error::InvalidValue)?;
        let kernel = Arc::new(Kernel { handle: handle::fresh(), library: self.handle, name: c_name });
        driver()?.kernels.insert(kernel.handle, Arc::clone(&kernel));
        kernels.insert(name.to_owned(), Arc::clone(&kernel));
        Ok(kernel)
    }

    /// Takes the library, its kernels and its modules away.
    ///
    /// # Errors
    /// `InvalidHandle` where it is gone already.
    pub fn unload(&self) -> Result<()> {
        let driver = driver()?;
        driver.libraries.remove(self.handle)?;
        for (_, kernel) in lock(&self.kernels).drain() {
            let _ = driver.kernels.remove(kernel.handle);
        }
        for (_, module) in lock(&self.modules).drain() {
            let _ = module.unload();
        }
        Ok(())
    }
}

impl Kernel {
    /// The function it is in the calling thread's context.
    ///
    /// # Errors
    /// As [`Library::module`].
    pub fn function(&self) -> Result<Arc<Function>> {
        let library = driver()?.libraries.get(self.library)?;
        library.module()?.function(self.name.to_str().map_err(|_| Error::InvalidValue)?)
    }
}

/// The function that a handle of a function, or of a kernel, stands for.
///
/// # Errors
/// `InvalidHandle`; as [`Kernel::function`].
pub fn resolve_function(handle: Handle) -> Result<Arc<Function>> {
    let driver = driver()?;
    if let Some(function) = driver.functions.find(handle) {
        return Ok(function);
    }
    driver.kernels.get(handle)?.function()
}
