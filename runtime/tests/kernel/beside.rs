//! The maps that the runtime keeps beside those of live sets and maps: whatever these are called, and whoever pinned them.

use std::fs;
use std::time::Duration;

use sockc_compiler::artifact::MapKind;
use sockc_runtime::{Expiry, map_add, map_list, set_add, set_list, status};

use crate::live_maps::{entry, tenants};
use crate::live_sets::{banning, prefix};
use crate::space::{Space, inside};

const LONG: Expiry = Expiry::After(Duration::from_secs(1000));

/// A live set `a` beside `a_due`, whose trie had the name of the times of the other.
#[test]
fn sets_may_be_called_as_older_versions_called_maps() {
    inside(|space| {
        let options = &space.options;
        let both = |name: &str| {
            banning(name, 10)
                .map("set_p_due", MapKind::LpmTrie, [24, 24, 22, 1])
                .map("cur_p_due", MapKind::Array, [4, 24, 1, 0])
                .with(|manifest| {
                    let mut other = manifest.sets[0].clone();
                    other.name = "banned_due".to_owned();
                    other.map = "set_p_due".to_owned();
                    other.state = "cur_p_due".to_owned();
                    manifest.sets.push(other);
                })
        };
        both("p").apply(options).unwrap();
        for set in ["banned", "banned_due"] {
            set_add(options, set, &[prefix("10.0.0.1")], LONG).unwrap();
        }
        // The other set's trie is not taken for its times where these are gone.
        fs::remove_file(pin(space, "/map/set_p-due")).unwrap();
        let error = set_list(options, "banned").unwrap_err().to_string();
        assert!(error.contains("set_p-due"), "{error}");
        both("p").apply(options).unwrap();
        for set in ["banned", "banned_due"] {
            set_add(options, set, &[prefix("10.0.0.2")], LONG).unwrap();
            assert_eq!(set_list(options, set).unwrap().elements.len(), 3);
        }
    });
}

#[test]
fn what_older_versions_pinned_is_found_until_the_next_apply() {
    inside(|space| {
        let options = &space.options;
        banning("p", 10).apply(options).unwrap();
        rename(space, "set_p-due", "set_p_due");
        assert_eq!(
            set_add(options, "banned", &[prefix("10.0.0.1")], LONG)
                .unwrap()
                .elements,
            2
        );
        banning("q", 10).apply(options).unwrap();
        pin(space, "/map/set_q-due");
        let kept = set_list(options, "banned").unwrap();
        assert!(kept.elements[0].left.is_some(), "{kept:?}");
        let ours = status(options).unwrap().unwrap();
        assert_eq!(ours.drift, []);
        tenants("r", &[1], 10).apply(options).unwrap();
        rename(space, "nodes_0-entries", "nodes_0_entries");
        map_add(options, "tenants", &[entry("11.0.0.0/8", (80, 80), "s1")]).unwrap();
        tenants("s", &[1], 10).apply(options).unwrap();
        pin(space, "/map/nodes_0-entries");
        assert_eq!(map_list(options, "tenants").unwrap().entries.len(), 2);
    });
}

fn pin(space: &Space, end: &str) -> String {
    let mut paths = space.tree().into_iter();
    paths.find(|path| path.ends_with(end)).unwrap()
}

fn rename(space: &Space, now: &str, older: &str) {
    let path = pin(space, &format!("/map/{now}"));
    fs::rename(&path, path.replace(now, older)).unwrap();
}
