//! What the intermediate form is for: a search in a table without branches, and a meter of one number for each key.

use sockc_compiler::artifact::{MapId, MapKind, MapSpec, Section};
use sockc_compiler::bpf::constant::{BPF_NOEXIST, XDP_ABORTED, XDP_DROP, XDP_PASS};
use sockc_compiler::bpf::helper::Helper;
use sockc_compiler::bpf::opcode::{AluOp, JumpOp, Width};
use sockc_compiler::emit::{EmitError, emit};
use sockc_compiler::interpret::{Bare, Maps};
use sockc_compiler::ir::{Arg, Builder, End, Value};
use sockc_compiler::location::Location;
use sockc_compiler::target::Target;

use crate::engine::Subject;

fn builder() -> Builder {
    let origin = Location::new("shapes.sk", 1, "a shape");
    Builder::new("subject", Section::Xdp, origin)
}

fn emitted(builder: Builder, maps: impl IntoIterator<Item = MapSpec>) -> Subject {
    let target = Target::baseline().with_atomics();
    let program = emit(&builder.finish(), &target).unwrap();
    Subject {
        program,
        specs: maps.into_iter().collect(),
    }
}

/// Entries of the table: a sorted list of 32-bit beginnings.
const ENTRIES: i32 = 1024;

/// Gives the index of the last entry that is not above the packet's first four bytes.
fn search() -> Subject {
    let table = MapId::from_u32(0);
    let mut builder = builder();
    let context = builder.argument();
    let short = builder.block();
    let data = builder.value();
    builder.load_to(data, context, 0, Width::W);
    let end = builder.load(context, 4, Width::W);
    let after = builder.copy(data);
    builder.alu(after, AluOp::Add, 4);
    builder.leave_if_wide(after, JumpOp::Gt, end, short);
    let wanted = builder.load(data, 0, Width::W);
    builder.from_network(wanted, 32);
    let place = builder.imm(0);
    let mut step = ENTRIES * 4 / 2;
    while step >= 4 {
        advance(&mut builder, table, wanted, place, step);
        step /= 2;
    }
    builder.alu(place, AluOp::Rsh, 2);
    builder.end(End::ReturnValue(place));
    builder.enter(short);
    builder.end(End::Return(-1));
    let data = (0..ENTRIES.cast_unsigned()).flat_map(|index| beginning(index).to_le_bytes());
    emitted(builder, [MapSpec::table("table", data.collect())])
}

/// One step: where the entry `step` bytes further is not above what is wanted, the place goes there.
fn advance(builder: &mut Builder, table: MapId, wanted: Value, place: Value, step: i32) {
    let entry = builder.map_value(table, step.cast_unsigned());
    builder.alu(entry, AluOp::Add, place);
    let further = builder.load(entry, 0, Width::W);
    builder.alu(further, AluOp::Sub, 1);
    builder.alu(further, AluOp::Sub, wanted);
    builder.alu(further, AluOp::Arsh, 63);
    builder.alu(further, AluOp::And, step);
    builder.alu(place, AluOp::Add, further);
}

/// Entry 0 must not be above anything.
fn beginning(index: u32) -> u32 {
    index * 0x003f_0ff1
}

#[test]
fn a_search_without_branches_finds_its_interval() {
    let subject = search();
    let mut maps = Maps::new(&subject.specs);
    let mut loaded = subject.load();
    let edges = (0..ENTRIES.cast_unsigned()).step_by(37).map(beginning);
    let around = edges.flat_map(|edge| [edge.wrapping_sub(1), edge, edge + 1]);
    for wanted in around.chain([0, u32::MAX, beginning(1023)]) {
        let frame = [wanted.to_be_bytes().to_vec(), vec![0; 60]].concat();
        let expected = (0..1024).rev().find(|index| beginning(*index) <= wanted);
        let code = subject
            .interpret(&mut maps, &mut Bare::default(), &frame)
            .code();
        assert_eq!(Some(code.cast_unsigned()), expected, "{wanted:#x}");
        if let Some(loaded) = &mut loaded {
            assert_eq!(loaded.run(&frame).code, code, "{wanted:#x}");
        }
    }
}

/// Nanoseconds between two packets of the rate.
const INTERVAL: i64 = 3_600_000_000_000;
/// Packets at once.
const BURST: i64 = 3;

/// A token bucket as the generic cell rate algorithm: the map keeps the arrival time of the next packet that fits exactly.
/// Passes what fits, drops the excess, and aborts where another CPU was faster.
fn meter() -> Builder {
    let rates = MapId::from_u32(0);
    let mut builder = builder();
    let arrival = builder.value();
    let [key, now, seen, base] = [(); 4].map(|()| builder.slot(8));
    let first = builder.block();
    let exceeded = builder.block();
    let lost = builder.block();
    let ready = builder.block();
    builder.set_slot(key, 0, 7, Width::DW);
    let time = builder.call_value(Helper::KtimeGetNs, &[]);
    builder.store_slot(now, 0, time, Width::DW);
    let lookup = [Arg::Map(rates), Arg::SlotAddress(key)];
    let found = builder.call_value(Helper::MapLookupElem, &lookup);
    builder.assign(arrival, found);
    builder.leave_if_wide(arrival, JumpOp::Eq, 0, first);
    let next = builder.load(arrival, 0, Width::DW);
    let limit = builder.load_slot(now, 0, Width::DW);
    let tolerance = builder.imm((BURST - 1) * INTERVAL);
    builder.alu(limit, AluOp::Add, tolerance);
    builder.store_slot(seen, 0, next, Width::DW);
    builder.store_slot(base, 0, next, Width::DW);
    builder.leave_if_wide(next, JumpOp::Gt, limit, exceeded);
    let next = builder.load_slot(seen, 0, Width::DW);
    let time = builder.load_slot(now, 0, Width::DW);
    builder.leave_if_wide(next, JumpOp::Ge, time, ready);
    let time = builder.load_slot(now, 0, Width::DW);
    builder.store_slot(base, 0, time, Width::DW);
    builder.jump(ready);
    builder.enter(ready);
    let new = builder.load_slot(base, 0, Width::DW);
    let interval = builder.imm(INTERVAL);
    builder.alu(new, AluOp::Add, interval);
    let expected = builder.load_slot(seen, 0, Width::DW);
    let old = builder.compare_exchange(arrival, 0, expected, new);
    builder.leave_if_wide(old, JumpOp::Ne, expected, lost);
    builder.end(End::Return(XDP_PASS));
    builder.enter(first);
    let time = builder.load_slot(now, 0, Width::DW);
    let interval = builder.imm(INTERVAL);
    builder.alu(time, AluOp::Add, interval);
    builder.store_slot(base, 0, time, Width::DW);
    let update = [
        Arg::Map(rates),
        Arg::SlotAddress(key),
        Arg::SlotAddress(base),
        Arg::Imm(BPF_NOEXIST),
    ];
    builder.call(Helper::MapUpdateElem, &update);
    builder.end(End::Return(XDP_PASS));
    builder.enter(exceeded);
    builder.end(End::Return(XDP_DROP));
    builder.enter(lost);
    builder.end(End::Return(XDP_ABORTED));
    builder
}

#[test]
fn a_meter_passes_its_burst_and_then_its_rate() {
    let rates = MapSpec {
        name: "rates".to_owned(),
        kind: MapKind::LruHash,
        key_size: 8,
        value_size: 8,
        max_entries: 100,
        flags: 0,
        data: None,
    };
    let subject = emitted(meter(), [rates]);
    let mut maps = Maps::new(&subject.specs);
    let mut clock = Bare {
        now: 1_000_000_000,
        random: 0,
    };
    let mut run = |clock: &mut Bare| subject.interpret(&mut maps, clock, &[0; 64]).code();
    let burst = [XDP_PASS, XDP_PASS, XDP_PASS, XDP_DROP, XDP_DROP];
    assert_eq!([(); 5].map(|()| run(&mut clock)), burst);
    let interval = INTERVAL.cast_unsigned();
    clock.now += interval - 1;
    assert_eq!(run(&mut clock), XDP_DROP);
    clock.now += 1;
    assert_eq!([(); 2].map(|()| run(&mut clock)), [XDP_PASS, XDP_DROP]);
    clock.now += interval * 100;
    assert_eq!([(); 5].map(|()| run(&mut clock)), burst);
    if let Some(mut loaded) = subject.load() {
        assert_eq!([(); 5].map(|()| loaded.run(&[0; 64]).code), burst);
    }
}

#[test]
fn a_meter_needs_atomics() {
    let error = emit(&meter().finish(), &Target::baseline()).unwrap_err();
    assert_eq!(error, EmitError::NoAtomics);
}
