//! Chrome's trace event format ("Trace Event Format", Google, 2016), which Perfetto's viewer reads:
//! nodes are processes, tasks are threads, a datagram is an arrow from its sending to its receipt.
//!
//! Slices of one thread must nest. A task may have several disk operations under way at a time, so
//! it has as many threads as it takes for none to overlap.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use serde_json::{Value, json};
use unplug_sim::{
    Change, Doing, Effect, Event, Failed, Happening, Log, Lost, MessageId, TaskName, What,
    env::NodeId,
};

/// The process of what is done to the cluster as a whole. Nodes follow, in their order.
const CLUSTER: usize = 0;
/// The thread of a node, or of the cluster, for what no task did.
const MACHINE: usize = 0;

/// How far a trace is.
#[derive(Debug, Default)]
pub(super) struct Perfetto {
    any: bool,
    last_ns: u64,
    threads: BTreeMap<Owner, Vec<usize>>,
    /// How many threads each process has.
    counts: BTreeMap<usize, usize>,
    /// Where a thread has a slice, or had one up to which time.
    lanes: BTreeMap<(usize, usize), Lane>,
    /// Disk operations under way, by node and the number of the effect that began them.
    open: BTreeMap<(NodeId, u64), (usize, usize)>,
    /// Where and when datagrams were sent.
    sent: BTreeMap<MessageId, (u64, usize)>,
    arrows: u64,
    /// Nodes that are down or paused.
    standing: BTreeMap<NodeId, &'static str>,
    /// Faults that last, and how many nodes they are at.
    lasting: BTreeMap<usize, (String, u64)>,
}

/// Whose a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Owner {
    process: usize,
    name: &'static str,
    slot: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Lane {
    open: bool,
    free_ns: u64,
}

fn process(node: NodeId) -> usize {
    usize::from(node.0) + 1
}

/// Microseconds, which the format counts in, with nanoseconds as decimals: made of digits, so that
/// none is lost.
fn stamp(at_ns: u64) -> Value {
    let text = format!("{}.{:03}", at_ns / 1_000, at_ns % 1_000);
    Value::Number(text.parse().expect("digits are a number"))
}

impl Perfetto {
    pub(super) fn begin(nodes: &[String], out: &mut impl Write) -> io::Result<Self> {
        out.write_all(b"{\"displayTimeUnit\": \"ns\", \"traceEvents\": [\n")?;
        let mut perfetto = Self::default();
        let names = ["the cluster".to_owned()].into_iter().chain(nodes.iter().cloned());
        for (process, name) in names.enumerate() {
            for (what, args) in [
                ("process_name", json!({ "name": name })),
                ("process_sort_index", json!({ "sort_index": process })),
            ] {
                let meta = json!({
                    "ph": "M", "name": what, "pid": process, "tid": MACHINE, "args": args
                });
                perfetto.write(&meta, out)?;
            }
            perfetto.counts.insert(process, 1);
            perfetto.name_thread((process, MACHINE), "the machine", out)?;
        }
        Ok(perfetto)
    }

    pub(super) fn event(&mut self, event: &Event, out: &mut impl Write) -> io::Result<()> {
        let at_ns = event.at_ns;
        self.last_ns = at_ns;
        match &event.what {
            What::Effect(effect) => self.effect(at_ns, effect, out),
            What::World(happening) => self.happening(at_ns, happening, out),
            What::Lost(Lost { from, to, message, why }) => {
                let args = json!({"to": to.to_string(), "number": message.number});
                let at = (process(from.node), MACHINE);
                self.instant((at_ns, at, "t"), &format!("lost: {why}"), &args, out)
            }
            What::Failed(Failed { node, began, error }) => {
                self.close((*node, *began), at_ns, &json!({ "error": error }), out)
            }
            What::Log(Log { node, task, level, target, text, .. }) => {
                let at = self.thread(process(*node), Some(*task), out)?;
                let args = json!({"level": level, "target": target});
                self.instant((at_ns, at, "t"), text, &args, out)
            }
        }
    }

    pub(super) fn end(mut self, out: &mut impl Write) -> io::Result<()> {
        let at_ns = self.last_ns;
        let open: Vec<_> = self.open.keys().copied().collect();
        for operation in open {
            self.close(operation, at_ns, &json!({"at the end of the trace": true}), out)?;
        }
        for node in self.standing.keys().copied().collect::<Vec<_>>() {
            self.stand_no_more(node, at_ns, out)?;
        }
        // It ends at all nodes at once.
        self.lasting.values_mut().for_each(|(_, nodes)| *nodes = 1);
        for fault in self.lasting.keys().copied().collect::<Vec<_>>() {
            self.fault_over(fault, at_ns, out)?;
        }
        out.write_all(b"\n]}\n")
    }

    fn effect(&mut self, at_ns: u64, effect: &Effect, out: &mut impl Write) -> io::Result<()> {
        let at = self.thread(process(effect.node), effect.task, out)?;
        let number = effect.number;
        match &effect.doing {
            Doing::Send { to, bytes, message, .. } => {
                let args = json!({"to": to.to_string(), "bytes": bytes, "number": number});
                let at = self.moment(at_ns, effect, ("send", &args), out)?;
                self.sent.insert(*message, (at_ns, at.1));
                Ok(())
            }
            Doing::Receive { from, bytes, message, .. } => {
                let args = json!({"from": from.to_string(), "bytes": bytes, "number": number});
                let at = self.moment(at_ns, effect, ("receive", &args), out)?;
                self.arrow(*message, (at_ns, at), out)
            }
            Doing::DiskBegin { operation, path, to, bytes, file, line } => {
                let args = json!({
                    "path": path, "to": to, "bytes": bytes, "at": format!("{file}:{line}"),
                    "number": number
                });
                let at = self.lane(at_ns, effect, out)?;
                self.lanes.insert(at, Lane { open: true, free_ns: at_ns });
                self.open.insert((effect.node, number), at);
                let (pid, tid) = at;
                let begin = json!({
                    "ph": "B", "name": operation, "cat": "disk", "pid": pid, "tid": tid,
                    "ts": stamp(at_ns), "args": args
                });
                self.write(&begin, out)
            }
            Doing::DiskEnd { began, error, .. } => {
                self.close((effect.node, *began), at_ns, &json!({ "error": error }), out)
            }
            Doing::SyncEnd { began } => self.close((effect.node, *began), at_ns, &json!({}), out),
            Doing::Timer => {
                self.instant((at_ns, at, "t"), "timer", &json!({"number": number}), out)
            }
            Doing::Mark(name) => {
                self.instant((at_ns, at, "t"), name, &json!({"number": number}), out)
            }
            Doing::Observe { what, detail } => {
                let args = json!({"detail": detail, "number": number});
                self.instant((at_ns, at, "t"), &format!("observed: {what}"), &args, out)
            }
            Doing::Exit(reason) => {
                self.instant((at_ns, at, "p"), "exit", &json!({ "reason": reason }), out)
            }
        }
    }

    fn happening(
        &mut self,
        at_ns: u64,
        happening: &Happening,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let Happening { node, change, text } = happening;
        let args = json!({ "what": text });
        match (change, *node) {
            (Change::Fault { kind, fault, .. }, _) => {
                let at = (CLUSTER, MACHINE);
                self.instant((at_ns, at, "g"), &format!("fault {fault}: {kind}"), &args, out)
            }
            (Change::Crash { .. } | Change::End(_), Some(node)) => {
                self.cut_off(node, at_ns, out)?;
                self.stand_no_more(node, at_ns, out)?;
                self.stand(node, (at_ns, "down"), &args, out)
            }
            (Change::Boot { .. } | Change::Resume, Some(node)) => {
                self.stand_no_more(node, at_ns, out)?;
                self.instant((at_ns, (process(node), MACHINE), "t"), text, &args, out)
            }
            (Change::Pause { .. }, Some(node)) if !self.standing.contains_key(&node) => {
                self.stand(node, (at_ns, "paused"), &args, out)
            }
            (Change::Begin { fault }, _) => self.fault_lasts(*fault, at_ns, text, out),
            (Change::Over { fault }, _) => self.fault_over(*fault, at_ns, out),
            (
                Change::Crash { .. }
                | Change::End(_)
                | Change::Boot { .. }
                | Change::Resume
                | Change::Pause { .. }
                | Change::Clock
                | Change::Disk,
                node,
            ) => {
                let at = (node.map_or(CLUSTER, process), MACHINE);
                self.instant((at_ns, at, "p"), text, &args, out)
            }
        }
    }

    /// A slice of one nanosecond, to which arrows can be tied. Tells on which thread.
    fn moment(
        &mut self,
        at_ns: u64,
        effect: &Effect,
        (name, args): (&str, &Value),
        out: &mut impl Write,
    ) -> io::Result<(usize, usize)> {
        let at = self.lane(at_ns, effect, out)?;
        self.lanes.insert(at, Lane { open: false, free_ns: at_ns + 1 });
        let (pid, tid) = at;
        let slice = json!({
            "ph": "X", "name": name, "cat": "net", "pid": pid, "tid": tid, "ts": stamp(at_ns),
            "dur": stamp(1), "args": args
        });
        self.write(&slice, out)?;
        Ok(at)
    }

    /// An arrow from where a datagram was sent to where it was received.
    fn arrow(
        &mut self,
        message: MessageId,
        (at_ns, (pid, tid)): (u64, (usize, usize)),
        out: &mut impl Write,
    ) -> io::Result<()> {
        // What was sent before the trace began has no beginning to be shown.
        let Some(&(sent_ns, from)) = self.sent.get(&message) else { return Ok(()) };
        self.arrows += 1;
        let id = self.arrows;
        let start = json!({
            "ph": "s", "name": "datagram", "cat": "net", "id": id, "pid": process(message.node),
            "tid": from, "ts": stamp(sent_ns)
        });
        let finish = json!({
            "ph": "f", "bp": "e", "name": "datagram", "cat": "net", "id": id, "pid": pid,
            "tid": tid, "ts": stamp(at_ns)
        });
        self.write(&start, out)?;
        self.write(&finish, out)
    }

    /// Ends the slice of a disk operation.
    fn close(
        &mut self,
        operation: (NodeId, u64),
        at_ns: u64,
        args: &Value,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let Some(at) = self.open.remove(&operation) else { return Ok(()) };
        self.lanes.insert(at, Lane { open: false, free_ns: at_ns });
        let (pid, tid) = at;
        let end = json!({"ph": "E", "pid": pid, "tid": tid, "ts": stamp(at_ns), "args": args});
        self.write(&end, out)
    }

    /// Ends what a node had under way when it lost its process.
    fn cut_off(&mut self, node: NodeId, at_ns: u64, out: &mut impl Write) -> io::Result<()> {
        let open: Vec<_> =
            self.open.range((node, 0)..=(node, u64::MAX)).map(|one| *one.0).collect();
        for operation in open {
            self.close(operation, at_ns, &json!({"cut off": true}), out)?;
        }
        Ok(())
    }

    /// A node is down or stands still from now on.
    fn stand(
        &mut self,
        node: NodeId,
        (at_ns, name): (u64, &'static str),
        args: &Value,
        out: &mut impl Write,
    ) -> io::Result<()> {
        self.standing.insert(node, name);
        let begin = json!({
            "ph": "B", "name": name, "cat": "power", "pid": process(node), "tid": MACHINE,
            "ts": stamp(at_ns), "args": args
        });
        self.write(&begin, out)
    }

    fn stand_no_more(&mut self, node: NodeId, at_ns: u64, out: &mut impl Write) -> io::Result<()> {
        if self.standing.remove(&node).is_none() {
            return Ok(());
        }
        let (pid, ts) = (process(node), stamp(at_ns));
        self.write(&json!({"ph": "E", "pid": pid, "tid": MACHINE, "ts": ts}), out)
    }

    /// A fault that lasts begins, at one more node perhaps.
    fn fault_lasts(
        &mut self,
        fault: usize,
        at_ns: u64,
        text: &str,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let (name, nodes) = self.lasting.entry(fault).or_insert_with(|| (text.to_owned(), 0));
        *nodes += 1;
        if *nodes > 1 {
            return Ok(());
        }
        let begin = json!({
            "ph": "b", "name": name, "cat": "fault", "id": fault, "pid": CLUSTER,
            "tid": MACHINE, "ts": stamp(at_ns)
        });
        self.write(&begin, out)
    }

    /// It is over, at one node at least.
    fn fault_over(&mut self, fault: usize, at_ns: u64, out: &mut impl Write) -> io::Result<()> {
        let Some((name, nodes)) = self.lasting.get_mut(&fault) else { return Ok(()) };
        *nodes -= 1;
        if *nodes > 0 {
            return Ok(());
        }
        let end = json!({
            "ph": "e", "name": name, "cat": "fault", "id": fault, "pid": CLUSTER,
            "tid": MACHINE, "ts": stamp(at_ns)
        });
        self.lasting.remove(&fault);
        self.write(&end, out)
    }

    fn instant(
        &mut self,
        (at_ns, (pid, tid), scope): (u64, (usize, usize), &str),
        name: &str,
        args: &Value,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let instant = json!({
            "ph": "i", "s": scope, "name": name, "pid": pid, "tid": tid, "ts": stamp(at_ns),
            "args": args
        });
        self.write(&instant, out)
    }

    /// The first thread of a task.
    fn thread(
        &mut self,
        process: usize,
        task: Option<TaskName>,
        out: &mut impl Write,
    ) -> io::Result<(usize, usize)> {
        let Some(TaskName { name, slot }) = task else { return Ok((process, MACHINE)) };
        let owner = Owner { process, name, slot };
        if let Some(threads) = self.threads.get(&owner) {
            return Ok((process, threads[0]));
        }
        self.add_thread(owner, out)
    }

    /// A thread of a task on which a slice may begin now.
    fn lane(
        &mut self,
        at_ns: u64,
        effect: &Effect,
        out: &mut impl Write,
    ) -> io::Result<(usize, usize)> {
        let process = process(effect.node);
        let task = effect.task.unwrap_or(TaskName { name: "the network", slot: 0 });
        let owner = Owner { process, name: task.name, slot: task.slot };
        let threads = self.threads.get(&owner).map(Vec::as_slice).unwrap_or_default();
        let is_free = |thread: &&usize| {
            let lane = self.lanes.get(&(process, **thread)).copied().unwrap_or_default();
            !lane.open && lane.free_ns <= at_ns
        };
        match threads.iter().find(is_free) {
            Some(thread) => Ok((process, *thread)),
            None => self.add_thread(owner, out),
        }
    }

    fn add_thread(&mut self, owner: Owner, out: &mut impl Write) -> io::Result<(usize, usize)> {
        let count = self.counts.entry(owner.process).or_insert(1);
        let thread = *count;
        *count += 1;
        self.threads.entry(owner).or_default().push(thread);
        let at = (owner.process, thread);
        self.name_thread(at, owner.name, out)?;
        Ok(at)
    }

    fn name_thread(
        &mut self,
        (pid, tid): (usize, usize),
        name: &str,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let args = json!({ "name": name });
        let meta = json!({"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": args});
        self.write(&meta, out)
    }

    fn write(&mut self, event: &Value, out: &mut impl Write) -> io::Result<()> {
        if std::mem::replace(&mut self.any, true) {
            out.write_all(b",\n")?;
        }
        serde_json::to_writer(&mut *out, event)?;
        Ok(())
    }
}
