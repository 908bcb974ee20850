//! The coverage page: which functions of the API do something, made from the tables of exported functions.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{SERVED, refused};

fn without_stream_suffix(name: &str) -> &str {
    name.strip_suffix("_ptsz").or_else(|| name.strip_suffix("_ptds")).unwrap_or(name)
}

fn write_list(page: &mut String, title: &str, names: &BTreeSet<&str>) {
    let _ = writeln!(page, "\n## {title} ({})\n", names.len());
    for name in names {
        let _ = writeln!(page, "- `{name}`");
    }
}

/// The page, in Markdown.
pub fn coverage_page() -> String {
    let served: BTreeSet<&str> =
        SERVED.iter().copied().flatten().map(|(name, _)| without_stream_suffix(name)).collect();
    let refused: BTreeSet<&str> =
        refused::TABLE.iter().map(|(name, _)| without_stream_suffix(name)).collect();
    let mut page = String::from(
        "# The driver API, function by function\n\n\
         Made from the tables of exported functions; a test fails where this page is not what the tables say.\n\
         Forms for the thread's own default stream (`_ptsz`, `_ptds`) are exported too and not listed.\n",
    );
    write_list(&mut page, "Served", &served);
    write_list(&mut page, "Resolvable, answered with CUDA_ERROR_NOT_SUPPORTED", &refused);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `GOLDLAP_UPDATE_PAGES=1 cargo test -p goldlap-virtual-driver coverage` writes the page anew.
    #[test]
    fn the_committed_page_is_what_the_tables_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/DRIVER_API.md");
        if std::env::var_os("GOLDLAP_UPDATE_PAGES").is_some() {
            std::fs::write(path, coverage_page()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == coverage_page(), "{path} is out of date: see this test's comment");
    }
}
