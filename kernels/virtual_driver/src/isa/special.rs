//! Special registers whose value is fixed while a thread runs.

macro_rules! specials {
    ($($variant:ident $text:literal,)*) => {
        /// A special register that is filled before the thread starts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the names of the manual")]
        pub enum Special { $($variant,)* }

        impl Special {
            /// The register written `text`.
            pub fn parse(text: &str) -> Option<Special> {
                match text { $($text => Some(Special::$variant),)* _ => None }
            }

            /// As written.
            pub fn text(self) -> &'static str {
                match self { $(Special::$variant => $text,)* }
            }

            /// All of them.
            pub const ALL: &[Special] = &[$(Special::$variant,)*];
        }
    };
}

specials! {
    TidX "%tid.x", TidY "%tid.y", TidZ "%tid.z", TidW "%tid.w",
    NtidX "%ntid.x", NtidY "%ntid.y", NtidZ "%ntid.z", NtidW "%ntid.w",
    CtaidX "%ctaid.x", CtaidY "%ctaid.y", CtaidZ "%ctaid.z", CtaidW "%ctaid.w",
    NctaidX "%nctaid.x", NctaidY "%nctaid.y", NctaidZ "%nctaid.z", NctaidW "%nctaid.w",
    LaneId "%laneid", WarpId "%warpid", NwarpId "%nwarpid", SmId "%smid", NsmId "%nsmid", GridId "%gridid",
    LanemaskEq "%lanemask_eq", LanemaskLe "%lanemask_le", LanemaskLt "%lanemask_lt", LanemaskGe "%lanemask_ge", LanemaskGt "%lanemask_gt",
    DynamicSmemSize "%dynamic_smem_size", TotalSmemSize "%total_smem_size", AggrSmemSize "%aggr_smem_size",
    WarpSize "WARP_SZ",
    Envreg1 "%envreg1", Envreg2 "%envreg2",
    ClusteridX "%clusterid.x", ClusterCtaRank "%cluster_ctarank", ClusterNctaRank "%cluster_nctarank",
}
