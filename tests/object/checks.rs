//! Checks of a sockc object, each by another reader of such files. They take the object's bytes and compare what the
//! reader sees with what our own reader says is in it.
//!
//! What needs root or a tool that is not there is skipped with a word, or fails if `SOCKC_KERNEL` is `require`. Everything
//! loaded, pinned or attached lives in a mount and a network namespace of one command and goes with it.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aya::EbpfLoader;
use aya::programs::{Program, TestRun as _, TestRunOptions, Xdp};
use sockc_compiler::artifact::{Artifact, MapKind, MapSpec, Section};
use sockc_compiler::object;

/// aya-obj sees every program and every map.
pub(crate) fn aya_parses(bytes: &[u8]) {
    let artifact = object::read(bytes).unwrap();
    let parsed = aya_obj::Object::parse(bytes).unwrap();
    assert_eq!(names(parsed.programs.keys()), program_names(&artifact));
    assert_eq!(
        names(parsed.maps.keys()),
        artifact.maps.values().map(name_in_aya).collect()
    );
    for spec in artifact.maps.values() {
        let map = &parsed.maps[&name_in_aya(spec)];
        assert_eq!(map.data(), spec.data.as_deref().unwrap_or_default());
        let sizes = (map.key_size(), map.value_size(), map.max_entries());
        assert_eq!(sizes, (spec.key_size, spec.value_size, spec.max_entries));
        assert_eq!(
            (map.map_type(), map.map_flags()),
            (spec.kind as u32, spec.flags)
        );
    }
}

/// aya and libbpf name a map with contents after its section.
fn name_in_aya(spec: &MapSpec) -> String {
    match spec.data {
        Some(_) if spec.is_table() => format!(".rodata.{}", spec.name),
        Some(_) => format!(".data.{}", spec.name),
        None => spec.name.clone(),
    }
}

/// `llvm-objdump` lists every program and names the map of every reference.
pub(crate) fn llvm_disassembles(bytes: &[u8]) {
    let artifact = object::read(bytes).unwrap();
    let file = TemporaryFile::new("llvm", bytes);
    let Some(listing) = run(Command::new("llvm-objdump").arg("-dr").arg(&file.0)) else {
        return;
    };
    for program in &artifact.programs {
        assert!(
            listing.contains(&format!("<{}>:", program.name)),
            "{listing}"
        );
        for relocation in &program.relocations {
            let name = &artifact.maps[relocation.map].name;
            let line = format!("R_BPF_64_64\t{name}");
            assert!(listing.contains(&line), "{line} is not in:\n{listing}");
        }
    }
}

/// aya makes the maps, the kernel takes the programs with their types and lines.
pub(crate) fn aya_loads(bytes: &[u8]) {
    if !root() {
        return;
    }
    let mut loaded = EbpfLoader::new().load(bytes).unwrap();
    for (name, program) in loaded.programs_mut() {
        load(program).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let info = program.info().unwrap();
        // aya loads without the types, and without a word, if the kernel refuses them.
        assert!(info.btf_id().is_some(), "{name} has no types");
    }
}

/// `bpftool prog loadall` takes the object; the kernel then shows each program's first line and each map as it should be.
pub(crate) fn bpftool_loads(bytes: &[u8]) {
    let artifact = object::read(bytes).unwrap();
    for program in &artifact.programs {
        let Some(text) = bpftool_lines(bytes, &program.name) else {
            return;
        };
        if let Some(line) = program.lines.first() {
            let place = format!(
                "[file:{} line_num:{} ",
                ascii(&line.location.file),
                line.location.line
            );
            let source = format!("; {} {place}", ascii(&line.location.text));
            assert!(text.contains(&source), "{source} is not in:\n{text}");
        }
    }
    for spec in artifact.maps.values() {
        // The bpf file system refuses dots, for which libbpf puts underscores.
        let pin = name_in_aya(spec).replace('.', "_");
        let show = format!("bpftool -j map show pinned bpffs/map/{pin}");
        let Some(text) = with_loaded(bytes, &show) else {
            return;
        };
        assert_map(spec, &serde_json::from_str(&text).unwrap());
    }
}

/// The verdict that the kernel's run of an XDP program gives for a frame, loaded by aya.
pub(crate) fn aya_runs(bytes: &[u8], program: &str, frame: &[u8]) -> Option<u32> {
    if !root() {
        return None;
    }
    let mut loaded = EbpfLoader::new().load(bytes).unwrap();
    let program: &mut Xdp = loaded.program_mut(program).unwrap().try_into().unwrap();
    program.load().unwrap();
    let options = TestRunOptions {
        data_in: Some(frame),
        ..TestRunOptions::default()
    };
    Some(program.test_run(options).unwrap().return_value)
}

/// The same, loaded and run by `bpftool`.
pub(crate) fn bpftool_runs(bytes: &[u8], program: &str, frame: &[u8]) -> Option<u32> {
    let octal: String = frame.iter().map(|byte| format!("\\{byte:03o}")).collect();
    let run = format!(
        "printf '{octal}' > frame
        bpftool -j prog run pinned bpffs/prog/{program} data_in frame"
    );
    let shown: serde_json::Value = serde_json::from_str(&with_loaded(bytes, &run)?).unwrap();
    shown["retval"]
        .as_u64()
        .map(|code| u32::try_from(code).unwrap())
}

/// What `bpftool prog dump xlated … linum` prints of a program of the object.
pub(crate) fn bpftool_lines(bytes: &[u8], program: &str) -> Option<String> {
    let dump = format!("bpftool prog dump xlated pinned bpffs/prog/{program} linum");
    with_loaded(bytes, &dump)
}

/// What `bpftool map dump` prints of a map of the object.
pub(crate) fn bpftool_dump(bytes: &[u8], map: &str) -> Option<String> {
    with_loaded(bytes, &format!("bpftool map dump pinned bpffs/map/{map}"))
}

/// `ip link` attaches the object's XDP program.
pub(crate) fn ip_attaches(bytes: &[u8]) {
    if !has(bytes, Section::Xdp) {
        return;
    }
    let script = "ip link add veth0 type veth peer name veth1
        ip link set dev veth0 xdp obj object.o sec xdp
        ip -j link show dev veth0";
    if let Some(text) = in_namespaces(bytes, script) {
        assert!(text.contains("\"xdp\":{"), "{text}");
    }
}

/// `tc` attaches the first program of the object's section `classifier`.
pub(crate) fn tc_attaches(bytes: &[u8]) {
    if !has(bytes, Section::Classifier) {
        return;
    }
    let script = "ip link add veth0 type veth peer name veth1
        tc qdisc add dev veth0 clsact
        tc filter add dev veth0 ingress bpf direct-action obj object.o sec classifier
        tc filter show dev veth0 ingress";
    if let Some(text) = in_namespaces(bytes, script) {
        assert!(text.contains("direct-action"), "{text}");
    }
}

/// Says why something is not checked, or fails if everything must be.
fn skip(why: &str) {
    assert!(
        std::env::var("SOCKC_KERNEL").as_deref() != Ok("require"),
        "needs {why}, and SOCKC_KERNEL=require"
    );
    println!("skipped: needs {why}");
}

/// Whether we are root; if not, that is said.
fn root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let effective = user.and_then(|line| line.split_whitespace().nth(1));
    let root = effective == Some("0");
    if !root {
        skip("root");
    }
    root
}

/// The output of a command that must succeed; `None` if the tool is absent.
fn run(command: &mut Command) -> Option<String> {
    let tool = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skip(&format!("the command {tool}"));
            None
        }
        output => {
            let Output {
                status,
                stdout,
                stderr,
            } = output.unwrap();
            let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
            assert!(status.success(), "{tool}: {status}\n{stdout}\n{stderr}");
            Some(stdout)
        }
    }
}

/// The output of a shell script in its own mount and network namespaces, in a directory that has `object.o`.
fn in_namespaces(bytes: &[u8], script: &str) -> Option<String> {
    if !root() {
        return None;
    }
    let file = TemporaryFile::new("namespaces", bytes);
    for tool in ["bpftool", "ip", "tc"] {
        if script.contains(tool) {
            run(Command::new(tool).arg("-V"))?;
        }
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "sh", "-euc", script]);
    run(command.current_dir(file.directory()))
}

/// The output of a command after `bpftool prog loadall`, with programs in `bpffs/prog` and maps in `bpffs/map`.
fn with_loaded(bytes: &[u8], command: &str) -> Option<String> {
    let script = format!(
        "mkdir bpffs
        mount -t bpf bpf bpffs
        bpftool prog loadall object.o bpffs/prog pinmaps bpffs/map
        {command}"
    );
    in_namespaces(bytes, &script)
}

/// The kernel's map is the one of the object.
fn assert_map(spec: &MapSpec, shown: &serde_json::Value) {
    let number = |name: &str| shown[name].as_u64().unwrap_or_default();
    assert_eq!(
        number("bytes_key"),
        u64::from(spec.key_size),
        "{}",
        spec.name
    );
    assert_eq!(
        number("bytes_value"),
        u64::from(spec.value_size),
        "{}",
        spec.name
    );
    // Loaders make rings for each processor that there may be.
    match spec.kind {
        MapKind::PerfEventArray => assert!(number("max_entries") > 0),
        _ => assert_eq!(
            number("max_entries"),
            u64::from(spec.max_entries),
            "{}",
            spec.name
        ),
    }
    // libbpf makes tables mappable where the kernel can; the kernel lets no program write to a map of interfaces
    // (`dev_map_init_map` in kernel/bpf/devmap.c).
    let added = match spec.kind {
        _ if spec.data.is_some() => MMAPABLE,
        MapKind::DevMap => RDONLY_PROG,
        _ => 0,
    };
    let flags = number("flags") & !added;
    assert_eq!(flags, u64::from(spec.flags), "{}", spec.name);
    let frozen = u64::from(spec.is_table());
    assert_eq!(number("frozen"), frozen, "{}", spec.name);
}

/// `BPF_F_RDONLY_PROG`
const RDONLY_PROG: u64 = 0x80;
/// `BPF_F_MMAPABLE`
const MMAPABLE: u64 = 0x400;

/// Loads a program of any section that we have.
fn load(program: &mut Program) -> Result<(), aya::programs::ProgramError> {
    match program {
        Program::Xdp(program) => program.load(),
        Program::SchedClassifier(program) => program.load(),
        Program::SkLookup(program) => program.load(),
        Program::SkMsg(program) => program.load(),
        Program::SkSkb(program) => program.load(),
        Program::SockOps(program) => program.load(),
        other => panic!("{:?} is no type of ours", other.prog_type()),
    }
}

/// Whether the object has a program in this section.
fn has(bytes: &[u8], section: Section) -> bool {
    let artifact = object::read(bytes).unwrap();
    artifact.programs.iter().any(|p| p.section == section)
}

/// The text as the file has it.
fn ascii(text: &str) -> String {
    let backslashes = text.replace('\\', "\\\\");
    let characters = backslashes.chars().map(|character| match character {
        ' '..='~' => character.to_string(),
        _ => character.escape_unicode().to_string(),
    });
    characters.collect()
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> BTreeSet<String> {
    names.cloned().collect()
}

fn program_names(artifact: &Artifact) -> BTreeSet<String> {
    names(artifact.programs.iter().map(|program| &program.name))
}

/// The file `object.o` in a directory of its own, gone when dropped.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn new(purpose: &str, bytes: &[u8]) -> Self {
        let thread = format!("{:?}", std::thread::current().id());
        let thread: String = thread.chars().filter(char::is_ascii_digit).collect();
        let name = format!("{purpose}-{}-{thread}", std::process::id());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir(&directory).unwrap();
        let file = directory.join("object.o");
        std::fs::write(&file, bytes).unwrap();
        Self(file)
    }

    fn directory(&self) -> &Path {
        self.0.parent().unwrap()
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // A test that fails has more to say than this.
        let _ = std::fs::remove_dir_all(self.directory());
    }
}
