//! Files that were cut or changed.

use super::*;
use crate::testing::Rng;

#[test]
fn a_file_cut_anywhere_is_cut_short() {
    let bytes = write(&artifact()).unwrap();
    for length in 0..bytes.len() {
        let cut = &bytes[..length];
        assert_eq!(read(cut), Err(ObjectError::CutShort), "{length}");
        assert_eq!(read_manifest(cut), Err(ObjectError::CutShort), "{length}");
    }
}

#[test]
fn no_changed_byte_panics() {
    let bytes = write(&artifact()).unwrap();
    let mut refused = 0;
    for at in 0..bytes.len() {
        for change in [1, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            refused += usize::from(read(&changed).is_err());
            let _ = read_manifest(&changed);
        }
    }
    assert!(refused > bytes.len() / 4, "only {refused} were refused");
}

#[test]
fn what_is_read_from_changed_bytes_is_sound() {
    let mut artifact = small();
    artifact.netns = vec![("blue".to_owned(), small())];
    let bytes = write(&artifact).unwrap();
    assert_eq!(read(&bytes).unwrap(), artifact);
    let mut rng = Rng::new(3);
    let mut taken = 0;
    for _ in 0..50_000 {
        let mut changed = bytes.clone();
        for _ in 0..=rng.below(4) {
            let at = rng.below(changed.len());
            let end = (at + [1, 2, 4, 8][rng.below(4)]).min(changed.len());
            let value = [0, 0xff, 0x80, rng.byte()][rng.below(4)];
            changed[at..end].fill(value);
        }
        if let Ok(artifact) = read(&changed) {
            taken += 1;
            // What is given keeps the rules of what may be written.
            write(&artifact).unwrap();
        }
    }
    assert!(taken > 1_000, "only {taken} were read");
}

#[test]
fn an_object_with_blocks_in_blocks_is_damaged() {
    let mut bytes = write(&with_namespaces()).unwrap();
    let inner = write(&small()).unwrap();
    let at = bytes
        .windows(inner.len())
        .position(|window| window == inner)
        .unwrap();
    let name = b".sockc.manifest";
    let within = inner
        .windows(name.len())
        .position(|window| window == name)
        .unwrap();
    // As long as the name that it takes the place of.
    bytes[at + within..][..name.len()].copy_from_slice(b".sockc.netns.xx");
    let error = read(&bytes).unwrap_err().to_string();
    assert!(error.contains("namespaces of its own"), "{error}");
}
