//! The cache: one maker, no half files, leftovers removed, the limit kept, files in use never removed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use super::*;

fn store(limit_bytes: u64) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().expect("tempdir");
    let store = Store::at(folder.path().join("cache"), limit_bytes);
    (folder, store)
}

fn write(num_bytes: usize) -> impl Fn(&Path) -> Result<(), CheckpointError> {
    move |path| fs::write(path, vec![7; num_bytes]).map_err(|error| CheckpointError(error.to_string()))
}

fn never(_: &Path) -> Result<(), CheckpointError> {
    panic!("made twice")
}

fn packed_names(store: &Store) -> Vec<String> {
    store.list().expect("list").into_iter().map(|entry| entry.name).collect()
}

/// All that is on the disk, besides finished entries.
fn strays(store: &Store) -> Vec<PathBuf> {
    let paths = entries::paths_in(&store.folder(EntryKind::Packed)).expect("list");
    let is_stray = |path: &PathBuf| path.to_string_lossy().ends_with(LOCK_SUFFIX) || path.is_dir();
    paths.into_iter().filter(is_stray).collect()
}

#[test]
fn an_entry_is_made_once_and_then_found() {
    let (_folder, store) = store(1000);
    let made = store.get_or_create("a-1", write(10)).expect("made");
    assert_eq!(fs::read(made.path()).expect("read"), vec![7; 10]);
    let found = store.get_or_create("a-1", never).expect("found");
    assert_eq!(found.path(), made.path());
    assert_eq!(strays(&store), Vec::<PathBuf>::new());
}

/// Threads have locks of their own here, as each opens the file itself: they stand for processes.
#[test]
fn of_many_at_once_exactly_one_makes_it_and_none_sees_half_of_it() {
    let (_folder, store) = store(1 << 20);
    let made = AtomicUsize::new(0);
    let slowly = |path: &Path| {
        made.fetch_add(1, Ordering::SeqCst);
        write(100)(path)?;
        std::thread::sleep(Duration::from_millis(50));
        write(1000)(path)
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let file = store.get_or_create("k", slowly).expect("had");
                assert_eq!(fs::metadata(file.path()).expect("there").len(), 1000);
            });
        }
    });
    assert_eq!(made.load(Ordering::SeqCst), 1);
    assert_eq!(strays(&store), Vec::<PathBuf>::new());
}

#[test]
fn a_maker_that_fails_leaves_nothing_and_the_next_one_succeeds() {
    let (_folder, store) = store(1000);
    let fail = |path: &Path| write(10)(path).and(Err(CheckpointError("no luck".into())));
    assert_eq!(store.get_or_create("k", fail).expect_err("failed").to_string(), "no luck");
    assert_eq!((packed_names(&store), strays(&store)), (vec![], vec![]));
    store.get_or_create("k", write(10)).expect("made");
}

#[test]
fn leftovers_of_killed_makers_are_removed_but_not_those_of_living_ones() {
    let (_folder, store) = store(1000);
    store.get_or_create("a", write(1)).expect("made");
    let folder = store.folder(EntryKind::Packed);
    for key in ["dead", "alive"] {
        fs::create_dir(folder.join(format!("{key}.partial"))).expect("create");
        fs::write(folder.join(format!("{key}.partial/{key}")), "half").expect("write");
    }
    fs::write(folder.join("dead.lock"), "").expect("write");
    let _alive = lock::exclusive(&folder.join("alive.lock")).expect("locked");
    store.get_or_create("b", write(1)).expect("made");
    assert_eq!(strays(&store), [folder.join("alive.lock"), folder.join("alive.partial")]);
    store.get_or_create("dead", write(3)).expect("made anew");
}

fn set_age(file: &CachedFile, seconds: u64) {
    let file = File::options().append(true).open(file.path()).expect("open");
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - seconds)).expect("set");
}

#[test]
fn the_least_recently_used_goes_first_and_what_is_in_use_never() {
    let (_folder, store) = store(250);
    let oldest_in_use = store.get_or_create("a", write(100)).expect("made");
    set_age(&oldest_in_use, 300);
    for (key, age) in [("b", 200), ("c", 100)] {
        let file = store.get_or_create(key, write(60)).expect("made");
        set_age(&file, age);
    }
    set_age(&store.get_or_create("b", never).expect("found"), 50);
    assert_eq!(packed_names(&store), ["a", "b", "c"]);
    store.get_or_create("d", write(80)).expect("made");
    assert_eq!(packed_names(&store), ["a", "b", "d"], "c was used last before b");
    drop(oldest_in_use);
    store.get_or_create("e", write(10)).expect("made");
    assert_eq!(packed_names(&store), ["a", "b", "d", "e"], "250 bytes fit");
    store.get_or_create("f", write(1)).expect("made");
    assert_eq!(packed_names(&store), ["b", "d", "e", "f"], "a is the oldest and no longer in use");
}

#[test]
fn use_is_remembered() {
    let (_folder, store) = store(1000);
    set_age(&store.get_or_create("a", write(1)).expect("made"), 10);
    let before = store.list().expect("list")[0].last_used;
    drop(store.get_or_create("a", never).expect("found"));
    assert!(store.list().expect("list")[0].last_used > before);
}

#[test]
fn an_entry_larger_than_the_limit_stays_while_it_is_used() {
    let (_folder, store) = store(10);
    let large = store.get_or_create("large", write(100)).expect("made");
    store.get_or_create("small", write(1)).expect("made");
    assert_eq!(packed_names(&store), ["large", "small"]);
    drop(large);
    store.get_or_create("next", write(2)).expect("made");
    assert_eq!(packed_names(&store), ["next", "small"]);
}

#[test]
fn clear_removes_what_is_not_in_use_and_models_only_when_asked() {
    let (_folder, store) = store(1000);
    let _held = store.get_or_create("held", write(10)).expect("made");
    store.get_or_create("free", write(20)).expect("made");
    let fill = |folder: &Path| write(30)(&folder.join("model.safetensors"));
    let model = store.get_or_create_model("smol", fill).expect("made");
    assert_eq!(model, store.get_or_create_model("smol", never).expect("found"));
    let sizes: Vec<_> =
        store.list().expect("list").iter().map(|entry| (entry.num_bytes, entry.in_use)).collect();
    assert_eq!(sizes, [(20, false), (10, true), (30, false)]);
    let names = |entries: &[Entry]| entries.iter().map(|entry| entry.name.clone()).collect::<Vec<_>>();
    let cleared = store.clear(&[EntryKind::Packed]).expect("cleared");
    assert_eq!((names(&cleared.removed), names(&cleared.in_use)), (vec!["free".into()], vec!["held".into()]));
    assert_eq!(packed_names(&store), ["held", "smol"]);
    store.clear(&[EntryKind::Packed, EntryKind::Model]).expect("cleared");
    assert_eq!(packed_names(&store), ["held"]);
}

#[test]
fn names_cannot_leave_the_folder() {
    let (_folder, store) = store(1000);
    for name in ["", "a/b", "..", ".hidden", "a b", "x.lock", "x.partial", &"x".repeat(201)] {
        let error = store.get_or_create(name, never).expect_err("refused").to_string();
        assert!(error.contains("expected a name of at most 200 letters"), "{error}");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().expect("tempdir");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("write");
    let error =
        Store::at(file.join("cache"), 1).get_or_create("k", never).expect_err("no folder").to_string();
    assert!(error.contains("file/cache/packed"), "{error}");
    assert!(error.contains("set GOLDLAP_CACHE_DIR to a folder that can be written"), "{error}");
}
