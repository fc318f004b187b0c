//! The build script: gives the compiler a name of its own, made of the texts it is built from.
//!
//! An object says which compiler made it, and only that one can say whether the object is what its text compiles to. The
//! version number is not enough for that: it stays the same from one change to the next.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use sha2::{Digest, Sha256};

/// Hex digits of the name: enough that no two compilers share one.
const DIGITS: usize = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let own = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let mut sum = Sha256::new();
    for folder in [own.join("src"), own.join("../grammar/src")] {
        println!("cargo::rerun-if-changed={}", folder.display());
        for path in files(&folder)? {
            let name = path.strip_prefix(&folder)?.to_string_lossy().into_owned();
            for part in [name.into_bytes(), fs::read(&path)?] {
                sum.update((part.len() as u64).to_le_bytes());
                sum.update(&part);
            }
        }
    }
    let digits: String = sum
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let version = env::var("CARGO_PKG_VERSION")?;
    println!(
        "cargo::rustc-env=SOCKC_BUILD={version}-{}",
        &digits[..DIGITS]
    );
    Ok(())
}

/// Every file below a folder, by name.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
