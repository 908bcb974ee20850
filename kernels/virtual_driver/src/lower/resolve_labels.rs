//! Pass 3b: label numbers to instruction indices, relative to the function's start.

use super::select::Selection;

/// Replaces label numbers by indices. A label without a place was reported when its definition failed; such code never runs.
pub(super) fn run(selection: &mut Selection) {
    let end = selection.code.len().saturating_sub(1) as u32;
    let place = |label: u32| selection.labels.get(label as usize).copied().flatten().unwrap_or(end).min(end);
    for inst in &mut selection.code {
        inst.op.targets_mut().iter_mut().for_each(|target| *target = place(*target));
    }
}
