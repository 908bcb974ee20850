//! What everything but the kernels costs: coordinator, engine, wire, discovery. `cargo xtask bench overhead` runs it.
//!
//!     cargo bench -p goldlap --bench overhead -- [coordinator|latency|engine|list|ranks|paths|count PATH ITERATIONS]

mod allocations;
mod coordinator;
mod engine;
mod figures;
mod kernels;
mod latency;
mod list;
mod messages;
mod paths;
mod peer;
mod peers;
mod ranks;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

fn main() {
    // `cargo bench` adds this one.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => {
            coordinator::run();
            latency::run();
            engine::run();
            list::run();
        }
        ["coordinator"] => coordinator::run(),
        ["latency"] => latency::run(),
        ["ranks"] => ranks::run(),
        [ranks::ALONE] => ranks::alone(),
        ["engine"] => engine::run(),
        ["list"] => list::run(),
        ["paths"] => {
            paths::NAMES.iter().for_each(|name| println!("{name} 500"));
            kernels::NAMES.iter().for_each(|name| println!("{name} 2"));
        }
        ["count", name, iterations] => {
            let iterations = iterations.parse().expect("a number of iterations");
            if kernels::NAMES.contains(name) {
                kernels::run(name, iterations)
            } else {
                paths::run(name, iterations)
            }
        }
        other => panic!("unknown arguments {other:?}: see the head of benches/overhead/main.rs"),
    }
}
