//! The structures of the API, field for field.

/// A function called in stream order.
pub(super) type HostFn = Option<extern "C" fn(*mut std::ffi::c_void)>;

/// `CUDA_MEMCPY2D`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Copy2D {
    pub(super) from_x: usize,
    pub(super) from_y: usize,
    pub(super) from_type: u32,
    pub(super) from_host: usize,
    pub(super) from_device: u64,
    pub(super) from_array: usize,
    pub(super) from_pitch: usize,
    pub(super) to_x: usize,
    pub(super) to_y: usize,
    pub(super) to_type: u32,
    pub(super) to_host: usize,
    pub(super) to_device: u64,
    pub(super) to_array: usize,
    pub(super) to_pitch: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

/// One end of `CUDA_MEMCPY3D` and `CUDA_MEMCPY3D_PEER`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct End3D {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) z: usize,
    pub(super) level: usize,
    pub(super) memory_type: u32,
    pub(super) host: usize,
    pub(super) device: u64,
    pub(super) array: usize,
    pub(super) context: usize,
    pub(super) pitch: usize,
    pub(super) height: usize,
}

/// `CUDA_MEMCPY3D`, and `CUDA_MEMCPY3D_PEER`, whose contexts lie where the former has reserved fields.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Copy3D {
    pub(super) from: End3D,
    pub(super) to: End3D,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) depth: usize,
}

/// `CUDA_MEMSET_NODE_PARAMS`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct FillParams {
    pub(super) address: u64,
    pub(super) pitch: usize,
    pub(super) value: u32,
    pub(super) element: u32,
    pub(super) width: usize,
    pub(super) height: usize,
}

/// `CUDA_KERNEL_NODE_PARAMS_v1`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct KernelParams {
    pub(super) function: usize,
    pub(super) grid: [u32; 3],
    pub(super) block: [u32; 3],
    pub(super) dynamic_shared: u32,
    pub(super) params: usize,
    pub(super) extra: usize,
}

/// `CUDA_KERNEL_NODE_PARAMS_v2`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct KernelParamsV2 {
    pub(super) first: KernelParams,
    pub(super) kernel: usize,
    pub(super) context: usize,
}

/// `CUDA_HOST_NODE_PARAMS`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct HostParams {
    pub(super) function: HostFn,
    pub(super) argument: usize,
}

/// `CUlaunchConfig`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct LaunchConfig {
    pub(super) grid: [u32; 3],
    pub(super) block: [u32; 3],
    pub(super) dynamic_shared: u32,
    pub(super) stream: usize,
    pub(super) attributes: usize,
    pub(super) attribute_count: u32,
}

/// `CUlaunchAttribute`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct LaunchAttribute {
    pub(super) id: u32,
    pub(super) padding: u32,
    pub(super) value: [u32; 16],
}

/// `CUmemLocation`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Location {
    pub(super) kind: u32,
    pub(super) id: i32,
}

/// `CUmemPoolProps`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct PoolProps {
    pub(super) allocation_type: u32,
    pub(super) handle_types: u32,
    pub(super) location: Location,
    pub(super) security: usize,
    pub(super) max_size: usize,
    pub(super) usage: u16,
    pub(super) reserved: [u8; 54],
}

/// `CUmemAllocationProp`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct AllocationProps {
    pub(super) kind: u32,
    pub(super) handle_types: u32,
    pub(super) location: Location,
    pub(super) metadata: usize,
    pub(super) flags: [u8; 8],
}

/// `CUmemAccessDesc`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Access {
    pub(super) location: Location,
    pub(super) flags: u32,
}

/// `CUDA_MEM_ALLOC_NODE_PARAMS`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct AllocateParams {
    pub(super) pool: PoolProps,
    pub(super) access: usize,
    pub(super) access_count: usize,
    pub(super) bytes: usize,
    pub(super) address: u64,
}

/// `CUDA_GRAPH_INSTANTIATE_PARAMS`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct InstantiateParams {
    pub(super) flags: u64,
    pub(super) stream: usize,
    pub(super) error_node: usize,
    pub(super) result: u32,
}

/// `CUgraphExecUpdateResultInfo`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct UpdateResult {
    pub(super) result: u32,
    pub(super) node: usize,
    pub(super) from: usize,
}

/// `CUgraphNodeParams`
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct NodeParams {
    pub(super) kind: u32,
    pub(super) reserved: [i32; 3],
    pub(super) body: NodeBody,
    pub(super) tail: i64,
}

/// What `CUgraphNodeParams` holds, by kind.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) union NodeBody {
    pub(super) raw: [i64; 29],
    pub(super) kernel: KernelParamsV2,
    pub(super) copy: CopyNodeParams,
    pub(super) fill: FillParams,
    pub(super) host: HostParams,
    pub(super) handle: usize,
    pub(super) allocate: AllocateParams,
}

/// `CUDA_MEMCPY_NODE_PARAMS`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct CopyNodeParams {
    pub(super) flags: i32,
    pub(super) reserved: i32,
    pub(super) context: usize,
    pub(super) copy: Copy3D,
}

/// `CUdevprop`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct DeviceProps(pub(super) [i32; 14]);

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;

    /// Sizes and offsets as a C compiler lays out the structures of cuda.h 12.8 on 64-bit hosts.
    #[test]
    fn structures_are_laid_out_as_in_c() {
        assert_eq!((size_of::<Copy2D>(), offset_of!(Copy2D, to_x)), (128, 56));
        assert_eq!((size_of::<Copy3D>(), offset_of!(Copy3D, to), offset_of!(Copy3D, width)), (200, 88, 176));
        assert_eq!(size_of::<FillParams>(), 40);
        assert_eq!((size_of::<KernelParams>(), size_of::<KernelParamsV2>()), (56, 72));
        assert_eq!(offset_of!(KernelParams, params), 40);
        assert_eq!((size_of::<LaunchConfig>(), offset_of!(LaunchConfig, stream)), (56, 32));
        assert_eq!((size_of::<LaunchAttribute>(), size_of::<PoolProps>()), (72, 88));
        assert_eq!((size_of::<AllocationProps>(), offset_of!(AllocationProps, metadata)), (32, 16));
        assert_eq!((size_of::<AllocateParams>(), size_of::<Access>()), (120, 12));
        assert_eq!((size_of::<InstantiateParams>(), size_of::<UpdateResult>()), (32, 24));
        assert_eq!((size_of::<NodeParams>(), offset_of!(NodeParams, body)), (256, 16));
        assert_eq!((size_of::<CopyNodeParams>(), size_of::<DeviceProps>()), (216, 56));
    }
}
