//! Packed weights in the cache: from any source to a file that all processes can map.

use std::fs;

use super::{CachedFile, Store, StoreError};
use crate::model::packed::{PackedModel, VERSION, pack};
use crate::model::weights::WeightSource;

/// Digits of the fingerprint in a file's name: 128 bits.
const FINGERPRINT_DIGITS: usize = 32;

impl Store {
    /// The packed file of `source`, made with `num_threads` threads if the cache does not have it. A file that
    /// was damaged, say by a power failure, is made again.
    ///
    /// # Errors
    /// Those of the source, and of [`Store::get_or_create`].
    pub fn packed(&self, source: &dyn WeightSource, num_threads: usize) -> Result<CachedFile, StoreError> {
        let fingerprint = source.fingerprint();
        let digits = &fingerprint[..FINGERPRINT_DIGITS.min(fingerprint.len())];
        let key = format!("v{VERSION}-{digits}");
        let file = self.get_or_create(&key, |path| pack(source, path, num_threads))?;
        if PackedModel::open(file.path()).is_ok() {
            return Ok(file);
        }
        // Whoever has the old file mapped keeps it; its name is free for a new one.
        fs::remove_file(file.path()).map_err(|error| StoreError::io("remove", file.path(), error))?;
        let file = self.get_or_create(&key, |path| pack(source, path, num_threads))?;
        PackedModel::open(file.path())?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::model::config::GptConfig;
    use crate::model::random::RandomWeights;

    #[test]
    fn weights_are_packed_once_and_again_when_damaged() {
        let folder = tempfile::tempdir().expect("tempdir");
        let store = Store::at(folder.path().to_owned(), 1 << 30);
        let config = GptConfig {
            num_layers: 1,
            vocab_size: 64,
            hidden_size: 32,
            kv_channels: 8,
            ..GptConfig::GPT_583M
        };
        let weights = RandomWeights::new(config, 1, 0.02).expect("valid");
        let path = store.packed(&weights, 2).expect("packed").path().to_owned();
        let bytes = fs::read(&path).expect("read");
        let inode = |path| fs::metadata(path).expect("there").ino();
        let first = inode(&path);
        assert_eq!(store.packed(&weights, 1).expect("found").path(), path);
        assert_eq!(inode(&path), first, "the same file");
        fs::write(&path, &bytes[..100]).expect("damaged");
        store.packed(&weights, 2).expect("packed again");
        assert_eq!(fs::read(&path).expect("read"), bytes, "whatever the number of threads");
    }
}
