//! Shapes of CUDA graphs from what the case asks for and what the engine may do in one step, by the original's rules.

use goldlap_kernels::cuda::{GraphShapes, MixedShape};

use super::limits::EngineLimits;
use crate::plan::{GraphPlan, GraphSizing};

/// Graphs are kept by tens: more sizes than this would only push each other out.
const MOST_SIZES: usize = 512;

/// The shapes that `plan` asks for under `limits`.
pub(super) fn graph_shapes(plan: Option<GraphPlan>, limits: &EngineLimits) -> GraphShapes {
    let Some(plan) = plan else { return GraphShapes::none() };
    GraphShapes::new(sizes(&plan, limits.max_requests), mixed_shapes(&plan, limits))
}

/// For each size, shapes with 1, 2, 4, ... prompts and room for decoding sequences, and one with prompts alone.
fn mixed_shapes(plan: &GraphPlan, limits: &EngineLimits) -> Vec<MixedShape> {
    let EngineLimits { max_requests, max_tokens, max_sequence_length, .. } = *limits;
    let most_prefills = plan.max_prefills.min(max_requests);
    if most_prefills == 0 {
        return Vec::new();
    }
    let largest = plan.max_mixed_tokens.clamp(max_requests.min(max_tokens), max_tokens);
    let counts =
        std::iter::successors(Some(1), |count| Some(count * 2)).take_while(|&count| count <= most_prefills);
    let counts: Vec<usize> = counts.collect();
    let mut shapes = Vec::new();
    for tokens in sizes(plan, largest) {
        for &prefills in counts.iter().filter(|&&count| count <= tokens) {
            let decodes = (tokens - prefills).min(max_requests - prefills);
            shapes.push(MixedShape { tokens, prefills, decodes });
        }
        shapes.push(MixedShape { tokens, prefills: most_prefills.min(tokens), decodes: 0 });
    }
    let fits = |shape: &MixedShape| {
        let longest = shape.prefills.saturating_mul(max_sequence_length).saturating_add(shape.decodes);
        shape.tokens <= longest
    };
    shapes.retain(fits);
    shapes
}

/// Sizes up to `largest`, both ends among them.
fn sizes(plan: &GraphPlan, largest: usize) -> Vec<usize> {
    match plan.sizing {
        GraphSizing::Exponential => exponential(plan.num_sizes, largest),
        GraphSizing::Linear => linear(plan.num_sizes, largest),
    }
}

/// Halves of `largest`, rounded down to even numbers, and 1; of too many, the second smallest go.
fn exponential(num: Option<usize>, largest: usize) -> Vec<usize> {
    let num = num.unwrap_or(largest.max(1).ilog2() as usize + 2).max(if num.is_none() { 4 } else { 1 });
    let even = |size: &usize| Some(size / 2 / 2 * 2).filter(|&half| half >= 2);
    let mut sizes: Vec<usize> =
        std::iter::successors(Some(largest), even).take(num.min(MOST_SIZES)).collect();
    if largest > 1 {
        sizes.push(1);
    }
    while sizes.len() > num && sizes.len() > 2 {
        sizes.remove(sizes.len() - 2);
    }
    sizes
}

/// Multiples of an even stride, and both ends. By itself: 1, 2, 4, then steps of 8 to 256 and of 16 above.
fn linear(num: Option<usize>, largest: usize) -> Vec<usize> {
    let mut sizes: Vec<usize> = match num {
        Some(num) => {
            let stride = (largest / num.max(1) / 2 * 2).max(2);
            (0..=largest).step_by(stride).skip(1).collect()
        }
        None => {
            [1, 2, 4].into_iter().chain((8..=256).step_by(8)).chain((272..=largest).step_by(16)).collect()
        }
    };
    sizes.retain(|&size| size < largest);
    sizes.truncate(MOST_SIZES);
    sizes.extend([1, largest]);
    sizes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::plan::EngineFeatures;

    const LIMITS: EngineLimits = EngineLimits {
        block_size: 16,
        num_usable_blocks: 64,
        max_requests: 16,
        max_tokens: 256,
        max_sequence_length: 100,
        num_paused_blocks: 0,
        features: EngineFeatures::OFF,
    };

    fn plan(num_sizes: Option<usize>, sizing: GraphSizing) -> GraphPlan {
        GraphPlan { num_sizes, sizing, max_prefills: 4, max_mixed_tokens: 64 }
    }

    /// The first three are what the original computes.
    #[test]
    fn exponential_sizes_are_the_originals() {
        assert_eq!(exponential(Some(16), 256), [256, 128, 64, 32, 16, 8, 4, 2, 1]);
        assert_eq!(exponential(Some(4), 64), [64, 32, 16, 1]);
        assert_eq!(exponential(Some(16), 756), [756, 378, 188, 94, 46, 22, 10, 4, 2, 1]);
        assert_eq!(exponential(None, 64), [64, 32, 16, 8, 4, 2, 1]);
        assert_eq!((exponential(Some(1), 1), exponential(Some(1), 9)), (vec![1], vec![9, 1]));
    }

    #[test]
    fn linear_sizes_have_equal_strides_and_both_ends() {
        let sizes = |num, largest| linear(num, largest).into_iter().collect::<BTreeSet<_>>();
        assert_eq!(sizes(Some(4), 64), [1, 16, 32, 48, 64].into());
        assert_eq!(sizes(Some(100), 5), [1, 2, 4, 5].into());
        let by_itself = sizes(None, 300);
        assert!([1, 2, 4, 8, 16, 248, 256, 272, 288, 300].iter().all(|size| by_itself.contains(size)));
        assert!(!by_itself.contains(&264));
    }

    #[test]
    fn every_shape_is_one_that_a_step_can_have() {
        let shapes = mixed_shapes(&plan(Some(8), GraphSizing::Exponential), &LIMITS);
        assert!(shapes.contains(&MixedShape { tokens: 64, prefills: 4, decodes: 12 }));
        assert!(shapes.contains(&MixedShape { tokens: 1, prefills: 1, decodes: 0 }));
        for shape in &shapes {
            let total = shape.prefills + shape.decodes;
            assert!(
                total <= LIMITS.max_requests && total <= shape.tokens && shape.prefills <= 4,
                "{shape:?}"
            );
        }
        let short = EngineLimits { max_sequence_length: 10, ..LIMITS };
        let shapes = mixed_shapes(&plan(Some(8), GraphSizing::Exponential), &short);
        assert!(shapes.iter().all(|shape| shape.tokens <= shape.prefills * 10 + shape.decodes));
        let decode_only = GraphPlan { max_prefills: 0, ..plan(None, GraphSizing::Linear) };
        assert!(mixed_shapes(&decode_only, &LIMITS).is_empty());
        assert!(graph_shapes(None, &LIMITS).is_none());
    }
}
