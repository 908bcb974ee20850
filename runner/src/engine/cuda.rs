//! A packed model on a CUDA device: the right device, room for weights and KV pool, graphs as planned. One path for the virtual
//! driver and for real ones.

use std::path::Path;

use goldlap_kernels::cuda::driver::Driver;
use goldlap_kernels::cuda::{CudaBackend, CudaDevice, devices, kv_cache_bytes};
use goldlap_kernels::model::gpt::CudaModel;
use goldlap_kernels::model::packed::PackedModel;
use goldlap_kernels::model::step::KvCacheShape;
use goldlap_kernels::ops::kv_cache::KvGeometry;

use super::backend::{Backend, within_positions};
use super::graph_sizes::graph_shapes;
use super::limits::{EngineLimits, kv_cache_shape};
use crate::plan::{EnginePlan, Platform};

/// Memory of a virtual device is the host's, and allocating it fills it: a pool beyond this and the longest request is not made,
/// whatever the case asks for. Requests then wait for blocks, which changes no output.
const VIRTUAL_POOL_BYTES: usize = 256 << 20;

/// Opens the model on device `ordinal`, which must be of `platform`.
pub(super) fn open_cuda(
    platform: &Platform,
    packed: &Path,
    engine: &EnginePlan,
    ordinal: usize,
) -> Result<Backend, String> {
    let device = find_device(platform, ordinal)?;
    let driver = Driver::new(ordinal).map_err(|error| error.to_string())?;
    let packed = PackedModel::open(packed).map_err(|error| error.to_string())?;
    let config = packed.config();
    let asked = kv_cache_shape(engine, config).map_err(|error| error.to_string())?;
    let geometry = |num_blocks: usize| KvGeometry {
        layers: config.num_layers,
        kv_heads: config.num_query_groups,
        head_dim: config.kv_channels,
        block_size: asked.block_size,
        num_blocks,
    };
    let bytes = |num_blocks| kv_cache_bytes(geometry(num_blocks)).map_err(|error| error.to_string());
    let cache = match platform {
        Platform::Vcuda => {
            let longest = engine.max_sequence_length.div_ceil(asked.block_size) + 1;
            let num_blocks = asked.num_blocks.min((VIRTUAL_POOL_BYTES / bytes(1)?).max(longest));
            KvCacheShape { num_blocks, ..asked }
        }
        Platform::Cpu | Platform::Gpu(_) => asked,
    };
    let memory = driver.memory_info().map_err(|error| error.to_string())?;
    check_room(&device, memory, packed.num_bytes(), bytes(cache.num_blocks)?)?;
    let limits = EngineLimits::new(engine, cache)
        .and_then(|limits| limits.with_paused_buffer(engine, config))
        .map_err(|error| error.to_string())?;
    let limits = within_positions(limits, config);
    let backend = CudaBackend::on(driver, graph_shapes(engine.features.graphs, &limits));
    let model = CudaModel::new(backend, &packed, cache)
        .map_err(|error| format!("CUDA device {ordinal} ({}): {error}", device.name))?;
    Ok(Backend {
        model: Box::new(model),
        limits,
        device: format!("{}, device {ordinal}", device.name),
        num_kv_blocks: cache.num_blocks,
    })
}

/// Device `ordinal`, if it is what the platform's name says.
pub(super) fn find_device(platform: &Platform, ordinal: usize) -> Result<CudaDevice, String> {
    let all = devices().map_err(|error| format!("platform {platform}: {error}"))?;
    let names = || all.iter().map(|device| device.name.as_str()).collect::<Vec<_>>().join(", ");
    let device = all.get(ordinal).ok_or_else(|| {
        format!(
            "this rank needs CUDA device {ordinal}, one for each replica, and there are {} ({}): start fewer replicas, or let \
             CUDA_VISIBLE_DEVICES show more devices",
            all.len(),
            names()
        )
    })?;
    match (platform, device.is_virtual()) {
        (Platform::Vcuda, false) => Err(format!(
            "platform vcuda: the CUDA driver of this process is not the virtual one, but that of {}",
            device.name
        )),
        (Platform::Gpu(_), true) => Err(format!(
            "platform {platform}: the CUDA driver of this process is the virtual one; ask for vcuda"
        )),
        (Platform::Vcuda, true) | (Platform::Gpu(_), false) | (Platform::Cpu, _) => Ok(device.clone()),
    }
}

/// Weights and pool must fit into what is free now; activations take what is left.
fn check_room(
    device: &CudaDevice,
    memory: (usize, usize),
    weights: usize,
    pool: usize,
) -> Result<(), String> {
    let (free, total) = memory;
    if weights.saturating_add(pool) <= free {
        return Ok(());
    }
    let gib = |bytes: usize| bytes as f64 / f64::from(1 << 30);
    let advice = match free.checked_sub(weights) {
        Some(left) => format!(
            "lower --inference-dynamic-batching-buffer-size-gb to less than {:.2}, or free memory of the device",
            gib(left)
        ),
        None => "the weights alone do not fit".to_owned(),
    };
    Err(format!(
        "CUDA device {} ({}) is out of memory: of {:.2} GiB, {:.2} are free; the weights take {:.2} and the KV pool {:.2}: {advice}",
        device.ordinal,
        device.name,
        gib(total),
        gib(free),
        gib(weights),
        gib(pool)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_that_does_not_fit_is_refused_with_numbers() {
        let name = "NVIDIA H100 80GB HBM3".to_owned();
        let device = CudaDevice { ordinal: 2, name, compute_capability: (9, 0), total_memory: 80 << 30 };
        let check = |weights, pool| check_room(&device, (60 << 30, 80 << 30), weights, pool);
        assert_eq!(check(20 << 30, 40 << 30), Ok(()));
        let error = check(20 << 30, (40 << 30) + 1).unwrap_err();
        let expected = "CUDA device 2 (NVIDIA H100 80GB HBM3) is out of memory: of 80.00 GiB, 60.00 are free; the weights take 20.00 \
                        and the KV pool 40.00: lower --inference-dynamic-batching-buffer-size-gb to less than 40.00";
        assert!(error.starts_with(expected), "{error}");
        assert!(check(61 << 30, 1).unwrap_err().ends_with("the weights alone do not fit"));
    }
}
