//! Where the cache is and how large it may grow, from environment variables.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{Store, StoreError};

const FOLDER_VARIABLE: &str = "GOLDLAP_CACHE_DIR";
const LIMIT_VARIABLE: &str = "GOLDLAP_CACHE_LIMIT_GB";
const DEFAULT_LIMIT_GB: f64 = 20.0;

pub(super) fn from_environment(get: impl Fn(&str) -> Option<OsString>) -> Result<Store, StoreError> {
    let get = |name: &str| get(name).filter(|value| !value.is_empty());
    let limit_gb = match get(LIMIT_VARIABLE) {
        None => DEFAULT_LIMIT_GB,
        Some(text) => limit_gb(&text)?,
    };
    let root = match get(FOLDER_VARIABLE) {
        Some(folder) => {
            let folder = PathBuf::from(folder);
            std::path::absolute(&folder).map_err(|error| StoreError::io("find", &folder, error))?
        }
        // The XDG specification has relative paths ignored.
        None => match get("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute()) {
            Some(caches) => caches.join("goldlap"),
            None => PathBuf::from(get("HOME").ok_or(StoreError::NoHome)?).join(".cache/goldlap"),
        },
    };
    Ok(Store::at(root, (limit_gb * 1e9) as u64))
}

fn limit_gb(text: &OsString) -> Result<f64, StoreError> {
    text.to_str()
        .and_then(|text| text.trim().parse().ok())
        .filter(|limit: &f64| limit.is_finite() && *limit >= 0.0)
        .ok_or_else(|| StoreError::BadLimit(text.to_string_lossy().into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(variables: &[(&str, &str)]) -> Result<Store, String> {
        let get = |name: &str| variables.iter().find(|(key, _)| key == &name).map(|(_, value)| value.into());
        from_environment(get).map_err(|error| error.to_string())
    }

    #[test]
    fn the_more_specific_variable_wins() {
        let root = |variables: &[(&str, &str)]| store(variables).expect("a folder").root().to_owned();
        let (ours, xdg, home) = (("GOLDLAP_CACHE_DIR", "/a"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h"));
        assert_eq!(root(&[ours, xdg, home]), PathBuf::from("/a"));
        assert_eq!(root(&[("GOLDLAP_CACHE_DIR", ""), xdg, home]), PathBuf::from("/x/goldlap"));
        assert_eq!(root(&[("XDG_CACHE_HOME", "relative"), home]), PathBuf::from("/h/.cache/goldlap"));
        assert!(root(&[("GOLDLAP_CACHE_DIR", "relative")]).is_absolute());
    }

    #[test]
    fn without_a_home_the_message_says_what_to_set() {
        let error = store(&[]).expect_err("nowhere to go");
        assert_eq!(
            error,
            "no folder for the cache: neither GOLDLAP_CACHE_DIR nor XDG_CACHE_HOME nor HOME is set"
        );
    }

    #[test]
    fn the_limit_is_a_number_of_gigabytes() {
        let limit = |text| store(&[("HOME", "/h"), ("GOLDLAP_CACHE_LIMIT_GB", text)]);
        assert_eq!(limit("").expect("default").limit_bytes(), 20_000_000_000);
        assert_eq!(limit("0.5").expect("half").limit_bytes(), 500_000_000);
        for bad in ["ten", "-1", "inf", "NaN"] {
            let expected =
                format!("GOLDLAP_CACHE_LIMIT_GB: expected a number of gigabytes, 0 or more, got {bad:?}");
            assert_eq!(limit(bad).expect_err("refused"), expected);
        }
    }
}
