//! The build script: puts the pages of `docs/codes/` into the program, as a table that `explain_code.rs` includes.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("docs/codes");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut pages: Vec<String> = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let name = entry?.file_name();
        let code = name.to_str().and_then(|name| name.strip_suffix(".md"));
        pages.extend(code.map(str::to_owned));
    }
    pages.sort();
    let mut table = String::from("/// Name and text of every page, in order.\n");
    table += "const PAGES: &[(&str, &str)] = &[\n";
    for code in pages {
        let path = folder.join(format!("{code}.md"));
        writeln!(table, "    ({code:?}, include_str!({path:?})),")?;
    }
    table += "];\n";
    fs::write(Path::new(&env::var("OUT_DIR")?).join("pages.rs"), table)?;
    Ok(())
}
