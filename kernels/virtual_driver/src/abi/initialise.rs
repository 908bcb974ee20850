//! Start, version, error names and texts, profiler switches.

use std::ffi::c_char;

use super::call::{In, Out};
use crate::driver::error::{Error, Result, name_of, text_of};
use crate::driver::{self, API_VERSION, context};

type Text = *const c_char;

fn put_text(found: Option<&'static std::ffi::CStr>, out: Out<Text>) -> Result<()> {
    out.put(found.map_or(std::ptr::null(), |text| text.as_ptr()))?;
    found.map(drop).ok_or(Error::InvalidValue)
}

api! {
    table TABLE;

    fn cuInit(flags: u32) {
        if flags != 0 {
            return Err(Error::InvalidValue);
        }
        driver::initialise()
    }

    fn cuDriverGetVersion(version: Out<i32>) {
        version.put(API_VERSION)
    }

    fn cuGetErrorString(error: u32, text: Out<Text>) {
        put_text(text_of(error), text)
    }

    fn cuGetErrorName(error: u32, name: Out<Text>) {
        put_text(name_of(error), name)
    }

    fn cuProfilerInitialize(_config: In<c_char>, _output: In<c_char>, _mode: u32) {
        Err(Error::NotSupported)
    }

    fn cuProfilerStart() {
        context::current().map(drop)
    }

    fn cuProfilerStop() {
        context::current().map(drop)
    }
}
