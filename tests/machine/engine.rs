//! Runs one program on one packet in both engines.

use aya::programs::{Program, TestRun as _, TestRunOptions};
use aya::{Ebpf, EbpfLoader};
use cranelift_entity::PrimaryMap;
use sockc_compiler::artifact::{
    self, Artifact, MANIFEST_VERSION, Manifest, MapId, MapSpec, Section,
};
use sockc_compiler::bpf::insn::Insn;
use sockc_compiler::interpret::{self, Execution, Input, Kernel, Maps, Skb, Xdp};
use sockc_compiler::object;

/// What a program made of a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) frame: Vec<u8>,
    /// At TC.
    pub(crate) mark: Option<u32>,
}

/// A program and its maps.
pub(crate) struct Subject {
    pub(crate) program: artifact::Program,
    pub(crate) specs: PrimaryMap<MapId, MapSpec>,
}

/// A program without maps.
pub(crate) fn subject(section: Section, insns: Vec<Insn>) -> Subject {
    Subject {
        program: artifact::Program {
            name: "subject".to_owned(),
            section,
            insns,
            relocations: Vec::new(),
            lines: Vec::new(),
        },
        specs: PrimaryMap::new(),
    }
}

impl Subject {
    /// The interpreter's run.
    pub(crate) fn interpret(
        &self,
        maps: &mut Maps,
        world: &mut dyn Kernel,
        frame: &[u8],
    ) -> Execution {
        let input = match self.program.section {
            Section::Xdp => Input::Xdp(Xdp::new(frame.to_vec())),
            _ => Input::Skb(Skb::new(frame.to_vec())),
        };
        interpret::run(&self.program, maps, input, world).unwrap()
    }

    /// The kernel's program and maps; `None` without root.
    pub(crate) fn load(&self) -> Option<Loaded> {
        if !permitted() {
            return None;
        }
        let artifact = Artifact {
            programs: vec![self.program.clone()],
            maps: self.specs.clone(),
            manifest: manifest(),
            lists: Vec::new(),
            netns: Vec::new(),
        };
        let bytes = object::write(&artifact).unwrap();
        let mut ebpf = EbpfLoader::new().load(&bytes).unwrap();
        let loaded = match ebpf.program_mut("subject").unwrap() {
            Program::Xdp(program) => program.load(),
            Program::SchedClassifier(program) => program.load(),
            other => panic!("{:?} is not tested here", other.prog_type()),
        };
        loaded.unwrap_or_else(|error| panic!("{error:?}"));
        Some(Loaded { ebpf })
    }
}

/// A program in the kernel.
pub(crate) struct Loaded {
    pub(crate) ebpf: Ebpf,
}

impl Loaded {
    /// The kernel's run.
    pub(crate) fn run(&mut self, frame: &[u8]) -> Ran {
        let mut data = vec![0; frame.len() + 8192];
        let (context_in, mut context) = ([0; SKB], [0; SKB]);
        let mut options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut data),
            ..TestRunOptions::default()
        };
        let program = self.ebpf.program_mut("subject").unwrap();
        let result = match program {
            Program::Xdp(program) => program.test_run(options),
            Program::SchedClassifier(program) => {
                options.ctx_in = Some(&context_in);
                options.ctx_out = Some(&mut context);
                program.test_run(options)
            }
            other => panic!("{:?} is not tested here", other.prog_type()),
        };
        let result = result.unwrap();
        let mark = matches!(program, Program::SchedClassifier(_))
            .then(|| u32::from_le_bytes(context[8..12].try_into().unwrap()));
        data.truncate(usize::try_from(result.data_size_out).unwrap());
        Ran {
            code: result.return_value.cast_signed(),
            frame: data,
            mark,
        }
    }
}

/// Bytes of `struct __sk_buff`.
const SKB: usize = 192;

impl From<Execution> for Ran {
    fn from(outcome: Execution) -> Self {
        Self {
            code: outcome.code(),
            frame: outcome.frame,
            mark: outcome.mark,
        }
    }
}

/// Both engines on a frame, on a program without maps; gives what they agree on.
#[track_caller]
pub(crate) fn both(section: Section, insns: Vec<Insn>, frame: &[u8]) -> Ran {
    let subject = subject(section, insns);
    let outcome = subject.interpret(&mut Maps::default(), &mut interpret::Quiet, frame);
    let ran = Ran::from(outcome);
    if let Some(mut loaded) = subject.load() {
        assert_eq!(loaded.run(frame), ran);
    }
    ran
}

fn permitted() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        let required = std::env::var("SOCKC_KERNEL").is_ok_and(|value| value == "require");
        assert!(!required, "kernel tests are required and need root");
        println!("skipped in the kernel: needs root");
    }
    root
}

fn manifest() -> Manifest {
    Manifest {
        version: MANIFEST_VERSION,
        policy: "subject".to_owned(),
        target: "host".to_owned(),
        ..Manifest::default()
    }
}
