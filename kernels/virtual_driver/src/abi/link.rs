//! The linker: PTX texts become one, which is its own image.

use std::ffi::{CString, c_char};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::call::{Bytes, In, Out};
use super::jit::{Options, classify, read_file};
use crate::driver::code::Source;
use crate::driver::driver;
use crate::driver::error::{Error, Result};
use crate::driver::handle::{Handles, fresh};
use crate::driver::report;
use crate::lower::program::MAX_REGISTERS_PRAGMA;

/// What was added so far, and the image once it is complete.
#[derive(Debug, Default)]
struct Link {
    max_registers: Option<u32>,
    texts: Vec<String>,
    image: Option<CString>,
}

static LINKS: LazyLock<Handles<Mutex<Link>>> = LazyLock::new(Handles::default);

const CUBIN: u32 = 0;
const PTX: u32 = 1;
const FAT_BINARY: u32 = 2;
const LIBRARY: u32 = 4;

fn add(link: usize, source: Source) -> Result<()> {
    let link = LINKS.get(link)?;
    let text = source.into_text().map_err(|refusal| {
        report::tell(&format!("{}: {}", refusal.error, refusal.log));
        refusal.error
    })?;
    link.lock().unwrap_or_else(PoisonError::into_inner).texts.push(text);
    Ok(())
}

/// Stands in for libcudadevrt.a, which holds machine code.
const DEVICE_RUNTIME: &str = include_str!("../driver/device_runtime.ptx");

fn is_device_runtime(kind: u32, name: In<c_char>) -> bool {
    kind == LIBRARY && name.text().is_ok_and(|name| name.contains("cudadevrt"))
}

fn check_kind(kind: u32) -> Result<()> {
    match kind {
        PTX | FAT_BINARY | CUBIN => Ok(()),
        _ => {
            report::tell(&format!(
                "cuLinkAdd: inputs of kind {kind} (objects, libraries, NVVM) cannot be linked"
            ));
            Err(Error::NotSupported)
        }
    }
}

/// One text of several: the head of the first, and the rest of all.
fn join(texts: &[String]) -> String {
    let is_head = |line: &str| {
        [".version", ".target", ".address_size"].iter().any(|word| line.trim_start().starts_with(word))
    };
    let mut joined = texts.first().cloned().unwrap_or_default();
    for text in texts.iter().skip(1) {
        for line in text.lines().filter(|line| !is_head(line)) {
            joined.push('\n');
            joined.push_str(line);
        }
    }
    joined
}

api! {
    table TABLE;

    fn cuLinkCreate_v2(count: u32, keys: In<u32>, values: In<usize>, out: Out<usize>) {
        driver()?;
        out.check()?;
        let max_registers = Options::read(count, keys, values)?.max_registers();
        let handle = fresh();
        LINKS.insert(handle, Arc::new(Mutex::new(Link { max_registers, ..Link::default() })));
        out.put(handle)
    }

    fn cuLinkAddData_v2(
        link: usize, kind: u32, data: Bytes, bytes: usize, name: In<c_char>,
        _count: u32, _keys: In<u32>, _values: In<usize>,
    ) {
        if is_device_runtime(kind, name) {
            return add(link, Source::Ptx(DEVICE_RUNTIME.into()));
        }
        check_kind(kind)?;
        add(link, classify(data.bytes(bytes)?))
    }

    fn cuLinkAddFile_v2(
        link: usize, kind: u32, path: In<c_char>, _count: u32, _keys: In<u32>, _values: In<usize>,
    ) {
        if is_device_runtime(kind, path) {
            return add(link, Source::Ptx(DEVICE_RUNTIME.into()));
        }
        check_kind(kind)?;
        add(link, read_file(&path.text()?)?)
    }

    fn cuLinkComplete(link: usize, image: Out<usize>, bytes: Out<usize>) {
        let link = LINKS.get(link)?;
        let mut link = link.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = join(&link.texts);
        if let Some(limit) = link.max_registers {
            text.push_str(&format!("\n.pragma \"{MAX_REGISTERS_PRAGMA}{limit}\";\n"));
        }
        Options::none().compile(Source::Ptx(text.clone()))?;
        let text = CString::new(text).map_err(|_| Error::InvalidPtx)?;
        bytes.put_if_wanted(text.as_bytes_with_nul().len());
        image.put(link.image.insert(text).as_ptr() as usize)
    }

    fn cuLinkDestroy(link: usize) {
        LINKS.remove(link).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_runtime_can_be_run() {
        assert!(Source::Ptx(DEVICE_RUNTIME.into()).compile().is_ok());
    }

    #[test]
    fn texts_are_joined_under_one_head() {
        let one = ".version 8.0\n.target sm_80\n.address_size 64\n.func a() { ret; }".to_owned();
        let two = ".version 8.1\n.target sm_80\n.address_size 64\n.func b() { ret; }".to_owned();
        let joined = join(&[one, two]);
        assert_eq!(joined.matches(".version").count(), 1);
        assert!(joined.contains(".func a()") && joined.ends_with(".func b() { ret; }"));
    }
}
