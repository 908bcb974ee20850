//! Prompts, data sets, tokenizer and arrival process: requests with a timetable.

mod request;

pub use request::TimedRequest;
