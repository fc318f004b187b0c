//! Loads an object: maps first, then programs, all pinned in the folder of a generation.
//!
//! Takes the bytes of an object, and the maps that live outside the generation; gives what is pinned, or what the verifier
//! said, by the rule. The file is read by aya-obj, which says what maps and programs are in it and puts the descriptors of maps
//! into code; nothing of the kernel's own types is read. Whether an object may be handed to that at all is asked in [`checked`]
//! before. Not here: what maps are filled with otherwise, and where programs hang.

pub(crate) mod checked;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use aya_obj::btf::BtfFeatures;
use aya_obj::{EbpfSectionKind, Object};
use sockc_compiler::artifact::Manifest;
use sockc_compiler::bpf::constant::BPF_F_MMAPABLE;

use crate::error::{Error, at, is_machine, reasons, unreadable};
use crate::hook::Points;
use crate::state::{State, make_folder};
use crate::sys::map::{Shape, Typed};
use crate::sys::verified::{self, Refusal, Source};
use crate::sys::{bpffs, map, types};

/// Lines of the verifier's log that an error shows.
const LOG_LINES: usize = 6;

/// What the map of a constant table is called, which is filled and frozen here: as its section. Programs alone refer to it, so
/// it needs no pin.
const TABLE: &str = ".rodata.";

/// How the map of a value begins that programs write to by its address: as its section. It is pinned by the rest of its name.
const WORD: &str = ".data.";

/// What making them is called.
const MAKE: &str = "make the maps of the object";

/// A map that lives outside the generation: its name in the object, and its pin.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// The name in the object.
    pub(crate) name: String,
    /// The pin, which is used again if it is there.
    pub(crate) pin: PathBuf,
    /// Whether the generation gets a pin of its own next to it.
    pub(crate) again: bool,
}

/// An object whose maps are made.
pub(crate) struct Made {
    object: Object,
    /// What the object says of maps and functions.
    types: OwnedFd,
    /// Code names them by their descriptors until it is loaded.
    _maps: Vec<OwnedFd>,
}

/// An object as it was read.
pub(crate) struct Parsed {
    object: Object,
    /// The shapes of its maps, by name.
    pub(crate) shapes: BTreeMap<String, Shape>,
}

/// Reads an object.
pub(crate) fn parsed(object: &[u8]) -> Result<Parsed, Error> {
    let object = parse(object)?;
    let maps = object.maps.iter();
    let shapes = maps.map(|(name, map)| (name.clone(), shape(map))).collect();
    Ok(Parsed { object, shapes })
}

/// Makes the maps of the object, except those of `kept` that are there already.
pub(crate) fn maps(
    Parsed { mut object, shapes }: Parsed,
    state: &State,
    generation: u32,
    kept: &[Kept],
) -> Result<Made, Error> {
    let mut there = open_kept(&shapes, kept)?;
    make_folder(&state.generation(generation).join("map"))?;
    let types = described(&mut object)?;
    // By name, so that every run makes the same calls.
    let declared: BTreeMap<_, _> = std::mem::take(&mut object.maps).into_iter().collect();
    let mut made = Vec::with_capacity(declared.len());
    for (name, declared) in &declared {
        let outside = kept.iter().find(|kept| kept.name == *name);
        let map = match there.remove(name.as_str()) {
            Some(map) => map,
            None => make(name, declared, &types, outside).map_err(at(MAKE))?,
        };
        if !name.starts_with(TABLE) && outside.is_none_or(|kept| kept.again) {
            let name = title(name);
            check_name(name)?;
            bpffs::pin(map.as_fd(), &state.map(generation, name))
                .map_err(at(format!("pin the map \"{name}\"")))?;
        }
        made.push((name.as_str(), map, declared));
    }
    link(&mut object, &made)?;
    Ok(Made {
        object,
        types,
        _maps: made.into_iter().map(|(_, map, _)| map).collect(),
    })
}

fn parse(object: &[u8]) -> Result<Object, Error> {
    Object::parse(object).map_err(|error| wrong(&error))
}

fn wrong(error: &dyn std::error::Error) -> Error {
    Error::Object {
        cause: reasons(error),
    }
}

/// Hands the kernel what the object says of its maps and functions: without it no source line stands in the verifier's log.
fn described(object: &mut Object) -> Result<OwnedFd, Error> {
    let described = object.fixup_and_sanitize_btf(&kinds(false));
    let described = described.map_err(|error| wrong(&error))?;
    let described = described.ok_or_else(|| Error::Object {
        cause: "it lacks its types".to_owned(),
    })?;
    types::load(&described.to_bytes()).map_err(at("load the types of the object"))
}

/// The kinds of types that a kernel takes, of those that kernels differ in. Functions came with Linux 5.0, sections with 5.2, global
/// functions with 5.6; none of the `others` is in an object. So no kernel that programs load on has to be asked, and no question
/// that is refused leaves the source lines out.
fn kinds(others: bool) -> BtfFeatures {
    BtfFeatures::new(true, true, true, others, others, others, others, others)
}

/// Makes a map, with what the object has in it, and pins it where it lives outside the generation.
fn make(
    name: &str,
    declared: &aya_obj::Map,
    types: &OwnedFd,
    outside: Option<&Kept>,
) -> io::Result<OwnedFd> {
    let made = map::create_typed(
        title(name),
        made_as(declared)?,
        declared.map_flags() | in_line(declared),
        typed(declared, types),
    )?;
    if !declared.data().is_empty() {
        map::update(made.as_fd(), &[0; 4], declared.data())?;
    }
    if declared.section_kind() == EbpfSectionKind::Rodata {
        map::freeze(made.as_fd())?;
    }
    if let Some(kept) = outside {
        bpffs::pin(made.as_fd(), &kept.pin)?;
    }
    Ok(made)
}

/// What a map is called in the kernel, and as a pin.
fn title(name: &str) -> &str {
    name.strip_prefix(WORD).unwrap_or(name)
}

/// The shape that a map is made with: one that says nothing of its entries has one for each processor there may be.
fn made_as(declared: &aya_obj::Map) -> io::Result<Shape> {
    let shape = shape(declared);
    match shape.is_of_events() && shape.entries == 0 {
        true => Ok(Shape {
            entries: map::processors()?,
            ..shape
        }),
        false => Ok(shape),
    }
}

/// A large table begins at a page, so that no bucket of it lies in two lines of the cache. The kernel puts the value of an array after
/// its own head, of which nothing is a multiple of a line, unless the array can be mapped (`array_map_alloc` in
/// kernel/bpf/arraymap.c). Small tables stay where the kernel has large pages, which it has for none that can be mapped.
fn in_line(declared: &aya_obj::Map) -> u32 {
    let table = declared.section_kind() == EbpfSectionKind::Rodata;
    match table && declared.value_size() > KMALLOC {
        true => BPF_F_MMAPABLE,
        false => 0,
    }
}

/// Bytes of a value that the kernel takes from its large pages, at most: its own head comes with it.
const KMALLOC: u32 = (32 << 10) - 512;

/// What its keys and values are, where the object says so: of maps that take no types it does not.
fn typed<'a>(declared: &aya_obj::Map, types: &'a OwnedFd) -> Option<Typed<'a>> {
    let aya_obj::Map::Btf(declared) = declared else {
        return None;
    };
    let (key, value) = (declared.def.btf_key_type_id, declared.def.btf_value_type_id);
    (value != 0).then(|| Typed {
        types: types.as_fd(),
        key,
        value,
    })
}

/// Puts the descriptors of maps and the places of functions into the code.
fn link(object: &mut Object, maps: &[(&str, OwnedFd, &aya_obj::Map)]) -> Result<(), Error> {
    let sections = object
        .functions
        .keys()
        .map(|(section, _)| *section)
        .collect();
    let maps = maps
        .iter()
        .map(|(name, map, declared)| (*name, map.as_raw_fd(), *declared));
    object
        .relocate_maps(maps, &sections)
        .and_then(|()| object.relocate_calls(&sections))
        .map_err(|error| wrong(&error))
}

/// A name becomes a pin: it must lead nowhere else, and the bpf file system refuses dots.
fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.contains(['/', '.']) {
        return Err(Error::Object {
            cause: format!("\"{name}\" cannot be the name of a map or program"),
        });
    }
    Ok(())
}

/// The shapes of the maps of an object, by name.
pub(crate) fn shapes(object: &[u8]) -> Result<BTreeMap<String, Shape>, Error> {
    Ok(parsed(object)?.shapes)
}

fn shape(map: &aya_obj::Map) -> Shape {
    Shape {
        kind: map.map_type(),
        key: map.key_size(),
        value: map.value_size(),
        entries: map.max_entries(),
    }
}

/// Those that are there already, by their names in the object. One of other sizes is refused: programs would read beyond its
/// values.
fn open_kept<'a>(
    shapes: &BTreeMap<String, Shape>,
    kept: &'a [Kept],
) -> Result<BTreeMap<&'a str, OwnedFd>, Error> {
    let mut found = BTreeMap::new();
    for one in kept {
        let wanted = shapes.get(&one.name).ok_or_else(|| Error::Object {
            cause: format!("it lacks the map \"{}\"", one.name),
        })?;
        let pinned = match bpffs::open(&one.pin) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            pinned => pinned.map_err(|cause| unreadable(&one.pin, cause))?,
        };
        let there = map::shape(pinned.as_fd()).map_err(at("look at a pinned map"))?;
        if *wanted != there {
            return Err(Error::State {
                path: one.pin.clone(),
                cause: "the sockets there are in a map of another shape".to_owned(),
            });
        }
        found.insert(one.name.as_str(), pinned);
    }
    Ok(found)
}

/// Loads the programs that the manifest names, as what is attached where it says, and pins them.
pub(crate) fn programs(
    made: &Made,
    manifest: &Manifest,
    state: &State,
    generation: u32,
) -> Result<(), Error> {
    make_folder(&state.generation(generation).join("prog"))?;
    for attach in &manifest.programs {
        let name = &attach.program;
        check_name(name)?;
        let kind = Points::of(&attach.point).kind();
        let program = made.object.programs.get(name);
        let code =
            program.and_then(|one| Some((one, made.object.functions.get(&one.function_key())?)));
        let (program, function) = code.ok_or_else(|| Error::Object {
            cause: format!("it lacks the program \"{name}\""),
        })?;
        let loaded = verified::load(&Source {
            name,
            kind: kind.program,
            attach: kind.load,
            code: &function.instructions,
            license: &program.license,
            types: made.types.as_fd(),
            functions: &function.func_info.func_info,
            lines: &function.line_info.line_info,
        });
        let loaded = loaded.map_err(|refusal| program_refused(name, refusal))?;
        bpffs::pin(loaded.as_fd(), &state.program(generation, name))
            .map_err(at(format!("pin the program \"{name}\"")))?;
    }
    Ok(())
}

fn program_refused(name: &str, Refusal { cause, log }: Refusal) -> Error {
    if is_machine(&cause) {
        return at(format!("load the program \"{name}\""))(cause);
    }
    Error::Program {
        name: name.to_owned(),
        cause,
        rule: rule_of(&log),
        log: last_lines(&log),
    }
}

/// The verifier precedes the code of each source line by `; TEXT @ FILE:LINE`.
fn rule_of(log: &str) -> Option<String> {
    let line = log
        .lines()
        .rev()
        .find_map(|line| line.trim().strip_prefix("; "))?;
    Some(line.trim().to_owned())
}

fn last_lines(log: &str) -> Vec<String> {
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(LOG_LINES);
    lines
        .iter()
        .skip(from)
        .map(|line| (*line).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use sockc_compiler::files::Texts;
    use sockc_compiler::object;
    use sockc_compiler::pipeline;
    use sockc_compiler::target::Target;
    use sockc_grammar::source::SourceMap;

    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        assert!(check_name("sockets").is_ok());
        for name in ["", "..", "../control", "/etc", "a.b"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    /// What a kernel takes besides matters to no object: else kernels would have to be asked.
    #[test]
    fn types_are_the_same_for_every_kernel() {
        let policies = [
            include_str!("../../rules/tenants.sk"),
            include_str!("../../rules/ddos-edges.sk"),
            include_str!("../../rules/shortcut.sk"),
            include_str!("../../rules/datagrams.sk"),
        ];
        for text in policies {
            let bytes = compiled(text);
            let of = |others: bool| {
                let mut object = parse(&bytes).unwrap();
                let types = object.fixup_and_sanitize_btf(&kinds(others)).unwrap();
                types.unwrap().to_bytes()
            };
            assert_eq!(of(false), of(true), "{text}");
        }
    }

    fn compiled(text: &str) -> Vec<u8> {
        let mut sources = SourceMap::default();
        let id = sources.add("a.sk", text);
        let target = Target::baseline();
        let outcome = pipeline::compile(&mut sources, id, "a", &target, &mut Texts::default());
        object::write(&outcome.built.unwrap().artifact).unwrap()
    }

    #[test]
    fn want_of_memory_is_no_fault_of_the_program() {
        let refused = |number: i32| {
            let refusal = Refusal {
                cause: io::Error::from_raw_os_error(number),
                log: "0: R1=ctx()\n; drop in tcp @ edge.sk:7\nR0 invalid\n".to_owned(),
            };
            program_refused("xdp_in", refusal)
        };
        assert!(matches!(refused(libc::ENOMEM), Error::Kernel { .. }));
        let Error::Program { rule, log, .. } = refused(libc::EACCES) else {
            panic!("the program is at fault");
        };
        assert_eq!(rule.as_deref(), Some("drop in tcp @ edge.sk:7"));
        assert_eq!(log.last().map(String::as_str), Some("R0 invalid"));
    }

    #[test]
    fn the_rule_and_the_end_of_the_log_are_found() {
        let log = "0: R1=ctx()\n; drop in tcp @ edge.sk:7\n5: (85) call 6\nR0 invalid\nprocessed 6 insns\n";
        assert_eq!(rule_of(log).as_deref(), Some("drop in tcp @ edge.sk:7"));
        assert_eq!(
            last_lines(log).last().map(String::as_str),
            Some("processed 6 insns")
        );
        assert_eq!(rule_of(""), None);
    }
}
