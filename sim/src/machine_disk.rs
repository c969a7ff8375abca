//! A node's disk on the simulated machine: the model of [`crate::disk`], given time and effects.
//!
//! An operation counts as an effect when it starts, and works on the model then; it counts again
//! when it ends, a drawn latency later. A sync takes effect at its end only, so a power cut in
//! between finds all that it covers still pending.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    panic::Location,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    config::NanosRange,
    disk::{Disk as Model, Handle, Sync},
    disk_watch::DiskMoment,
    env::{Disk, DiskResult, File, Metadata, NodeId, OpenMode},
    machine::SimEnv,
    schedule::Wakeup,
    state::{Admission, Event, State},
    timer::Alarm,
    trace::EffectKind,
};

/// The simulated disk, as its node sees it.
#[derive(Clone, Debug)]
pub struct SimDisk {
    env: SimEnv,
}

/// An open file on a simulated disk.
#[derive(Debug)]
pub struct SimFile {
    env: SimEnv,
    handle: Handle,
}

/// What is asked of a disk, for the trace and the digest.
pub(crate) struct Request {
    pub(crate) name: &'static str,
    place: Place,
    detail: u64,
    /// Whether it is on an open file, where it may glitch.
    pub(crate) on_file: bool,
    site: &'static Location<'static>,
}

/// What a request is about.
enum Place {
    Path(String),
    Paths(String, String),
    File(Handle),
}

impl Request {
    #[track_caller]
    fn path(name: &'static str, path: &str) -> Self {
        let detail = xxh3_64(path.as_bytes());
        let place = Place::Path(path.to_owned());
        Self { name, place, detail, on_file: false, site: Location::caller() }
    }

    #[track_caller]
    fn paths(name: &'static str, from: &str, to: &str) -> Self {
        let detail = xxh3_64(from.as_bytes()) ^ xxh3_64(to.as_bytes()).rotate_left(1);
        let place = Place::Paths(from.to_owned(), to.to_owned());
        Self { name, place, detail, on_file: false, site: Location::caller() }
    }

    #[track_caller]
    fn file(name: &'static str, handle: Handle, detail: u64) -> Self {
        let place = Place::File(handle);
        Self { name, place, detail, on_file: true, site: Location::caller() }
    }

    fn text(&self) -> String {
        let place = match &self.place {
            Place::Path(path) => path.clone(),
            Place::Paths(from, to) => format!("{from} -> {to}"),
            Place::File(handle) => format!("{handle:?}"),
        };
        self.at(&place)
    }

    /// The same, with the path of an open file.
    pub(crate) fn text_on(&self, disk: &Model) -> String {
        match &self.place {
            Place::File(handle) => match disk.handle_path(*handle) {
                Some(path) => self.at(&path),
                None => self.text(),
            },
            Place::Path(_) | Place::Paths(..) => self.text(),
        }
    }

    fn at(&self, place: &str) -> String {
        format!("{} {place} ({}:{})", self.name, self.site.file(), self.site.line())
    }
}

/// Which of the timings applies.
#[derive(Clone, Copy)]
enum Cost {
    Read,
    Write,
    Sync,
}

impl State {
    /// How long an operation takes.
    fn disk_latency(&mut self, node: NodeId, cost: Cost) -> u64 {
        let timing = &self.config.disk;
        let (low, high): NanosRange = match cost {
            Cost::Read => timing.read_ns,
            Cost::Write => timing.write_ns,
            Cost::Sync => timing.sync_ns,
        };
        let (seed, id) = (self.config.seed, node);
        let node = self.node(id);
        let latency_ns = node.disk_stream(seed, id).between(low, high);
        latency_ns.saturating_mul(node.disk_trouble.factor())
    }

    /// The time has come for a sync to end. On a disk that stalls it ends later.
    pub(crate) fn end_sync(&mut self, id: (NodeId, u32), sync: Sync, done: Rc<Ending>) {
        let (node, boot) = id;
        if let Some(until_ns) = self.stalled_until_ns(node) {
            self.queue.push(until_ns, Event::EndSync { node, boot, sync, done });
            return;
        }
        if !self.end_of_sync(id) {
            return;
        }
        let result = self.node(node).disk.end_sync(sync);
        self.show_disk(node, DiskMoment::SyncEnded, done.name.as_deref());
        self.trace_struck(node);
        if let Err(error) = result {
            let (at_ns, name) = (self.now_ns, &self.nodes[usize::from(node.0)].name);
            self.trace.world(at_ns, node.0.into(), || format!("sync of {name} failed: {error}"));
        }
        done.result.set(Some(result));
        if let Some(wakeup) = done.wakeup.take() {
            self.scheduler.wake(wakeup);
        }
        self.strike_after();
    }
}

/// The end of a sync, between the event that brings it about and the future that waits for it.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    result: Cell<Option<DiskResult<()>>>,
    wakeup: RefCell<Option<Wakeup>>,
    /// What to call the sync, if anybody looks at disks.
    name: Option<String>,
}

impl SimEnv {
    /// An operation that works on the model at its start and answers after its latency.
    fn operate<R>(
        &self,
        request: Request,
        cost: Cost,
        work: impl FnOnce(&mut Model) -> DiskResult<R> + 'static,
    ) -> impl Future<Output = DiskResult<R>> + 'static
    where
        R: 'static,
    {
        self.start(request, cost, 0, move |model, _| work(model))
    }

    /// The same on an open file, which may do less than it was asked to: `work` is told how many
    /// of the `asked` bytes it is to read or write.
    fn operate_file<R>(
        &self,
        request: Request,
        cost: Cost,
        asked: usize,
        work: impl FnOnce(&mut Model, usize) -> DiskResult<R> + 'static,
    ) -> impl Future<Output = DiskResult<R>> + 'static
    where
        R: 'static,
    {
        self.start(request, cost, asked, work)
    }

    fn start<W, R>(&self, request: Request, cost: Cost, asked: usize, work: W) -> Operation<W, R>
    where
        W: FnOnce(&mut Model, usize) -> DiskResult<R>,
    {
        Operation {
            env: self.clone(),
            request,
            cost,
            asked,
            alarm: Alarm::default(),
            stage: Stage::New(work),
        }
    }

    /// A sync: begun at the start, in effect at the end.
    fn sync(
        &self,
        request: Request,
        begin: impl FnOnce(&mut Model) -> DiskResult<Sync> + 'static,
    ) -> impl Future<Output = DiskResult<()>> + 'static {
        Syncing { env: self.clone(), request, begin: Some(begin), end: None }
    }
}

enum Stage<W, R> {
    New(W),
    Waiting(DiskResult<R>, u64),
    Ended(DiskResult<R>),
    /// Its end did not count. A result may hold a file, whose drop calls the machine: it is kept
    /// until the task is dropped.
    Void(DiskResult<R>),
    Dead,
}

struct Operation<W, R> {
    env: SimEnv,
    request: Request,
    cost: Cost,
    /// The bytes to read or write, which may be fewer.
    asked: usize,
    alarm: Alarm,
    stage: Stage<W, R>,
}

// Nothing in it is ever pinned.
impl<W, R> Unpin for Operation<W, R> {}

impl<R, W: FnOnce(&mut Model, usize) -> DiskResult<R>> Future for Operation<W, R> {
    type Output = DiskResult<R>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<DiskResult<R>> {
        let Self { env, request, cost, asked, alarm, stage } = Pin::into_inner(self);
        let id = env.id();
        let taken = std::mem::replace(stage, Stage::Dead);
        let next = env.with(|state| match taken {
            Stage::New(work) => {
                let kind = match cost {
                    Cost::Write => EffectKind::Write,
                    Cost::Read | Cost::Sync => EffectKind::Disk,
                };
                match state.effect(id, kind, request.detail, || request.text()) {
                    Admission::Happens => {}
                    Admission::Held => {
                        state.hold(id.0, context);
                        return Stage::New(work);
                    }
                    Admission::Never => return Stage::Dead,
                }
                let taken = state.glitch(id.0, request, *asked);
                // Before the work, which may take the name away.
                let name = matches!(cost, Cost::Write).then(|| state.watched_name(id.0, request));
                let name = name.flatten();
                let result = taken.and_then(|taken| work(&mut state.node(id.0).disk, taken));
                state.show_disk(id.0, DiskMoment::Written, name.as_deref());
                state.written(id.0);
                state.trace_struck(id.0);
                let ends_ns = state.now_ns + state.disk_latency(id.0, *cost);
                alarm.set(state, context, ends_ns);
                Stage::Waiting(result, ends_ns)
            }
            Stage::Waiting(result, ends_ns) if state.now_ns < ends_ns => {
                alarm.set(state, context, ends_ns);
                Stage::Waiting(result, ends_ns)
            }
            Stage::Waiting(result, ends_ns) => {
                if let Some(until_ns) = state.stalled_until_ns(id.0) {
                    *alarm = Alarm::default();
                    alarm.set(state, context, until_ns);
                    return Stage::Waiting(result, until_ns);
                }
                let text = || match &result {
                    Ok(_) => format!("{} ended", request.name),
                    Err(error) => format!("{} failed: {error}", request.name),
                };
                match state.effect(id, EffectKind::Disk, u64::from(result.is_ok()), text) {
                    Admission::Happens => Stage::Ended(result),
                    Admission::Held => {
                        state.hold(id.0, context);
                        Stage::Waiting(result, ends_ns)
                    }
                    Admission::Never => Stage::Void(result),
                }
            }
            Stage::Ended(_) | Stage::Void(_) | Stage::Dead => Stage::Dead,
        });
        match next.unwrap_or(Stage::Dead) {
            Stage::Ended(result) => Poll::Ready(result),
            next @ (Stage::New(_) | Stage::Waiting(..) | Stage::Void(_) | Stage::Dead) => {
                *stage = next;
                Poll::Pending
            }
        }
    }
}

struct Syncing<B> {
    env: SimEnv,
    request: Request,
    begin: Option<B>,
    end: Option<Rc<Ending>>,
}

impl<B> Unpin for Syncing<B> {}

impl<B: FnOnce(&mut Model) -> DiskResult<Sync>> Future for Syncing<B> {
    type Output = DiskResult<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<DiskResult<()>> {
        let Self { env, request, begin, end } = Pin::into_inner(self);
        let (node, boot) = env.id();
        let poll = env.with(|state| {
            if let Some(work) = begin.take() {
                let text = || request.text();
                match state.effect((node, boot), EffectKind::Sync, request.detail, text) {
                    Admission::Happens => {}
                    Admission::Held => {
                        state.hold(node, context);
                        *begin = Some(work);
                        return Poll::Pending;
                    }
                    Admission::Never => return Poll::Pending,
                }
                let name = state.watched_name(node, request);
                state.show_disk(node, DiskMoment::SyncBegun, name.as_deref());
                if let Err(error) = state.glitch(node, request, 0) {
                    return Poll::Ready(Err(error));
                }
                let sync = match work(&mut state.node(node).disk) {
                    Ok(sync) => sync,
                    Err(error) => return Poll::Ready(Err(error)),
                };
                let ends_ns = state.now_ns + state.disk_latency(node, Cost::Sync);
                let done = Rc::new(Ending { name, ..Ending::default() });
                let event = Event::EndSync { node, boot, sync, done: Rc::clone(&done) };
                state.queue.push(ends_ns, event);
                *end = Some(done);
            }
            let Some(end) = end else { return Poll::Pending };
            if let Some(result) = end.result.get() {
                return Poll::Ready(result);
            }
            *end.wakeup.borrow_mut() = Some(state.scheduler.wakeup(context));
            Poll::Pending
        });
        poll.unwrap_or(Poll::Pending)
    }
}

impl SimDisk {
    pub(crate) fn new(env: SimEnv) -> Self {
        Self { env }
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    #[track_caller]
    fn open(
        &self,
        path: &str,
        mode: OpenMode,
    ) -> impl Future<Output = DiskResult<SimFile>> + 'static {
        let (env, name) = (self.env.clone(), path.to_owned());
        let work =
            move |model: &mut Model| model.open(&name, mode).map(|handle| SimFile { env, handle });
        let cost = match mode {
            OpenMode::Read | OpenMode::Write => Cost::Read,
            OpenMode::Create | OpenMode::CreateNew | OpenMode::Truncate => Cost::Write,
        };
        self.env.operate(Request::path("open", path), cost, work)
    }

    #[track_caller]
    fn create_dir(&self, path: &str) -> impl Future<Output = DiskResult<()>> + 'static {
        let name = path.to_owned();
        let request = Request::path("create_dir", path);
        self.env.operate(request, Cost::Write, move |model| model.create_dir(&name))
    }

    #[track_caller]
    fn remove_dir(&self, path: &str) -> impl Future<Output = DiskResult<()>> + 'static {
        let name = path.to_owned();
        let request = Request::path("remove_dir", path);
        self.env.operate(request, Cost::Write, move |model| model.remove_dir(&name))
    }

    #[track_caller]
    fn remove(&self, path: &str) -> impl Future<Output = DiskResult<()>> + 'static {
        let name = path.to_owned();
        let request = Request::path("remove", path);
        self.env.operate(request, Cost::Write, move |model| model.remove(&name))
    }

    #[track_caller]
    fn rename(&self, from: &str, to: &str) -> impl Future<Output = DiskResult<()>> + 'static {
        let request = Request::paths("rename", from, to);
        let (from, to) = (from.to_owned(), to.to_owned());
        self.env.operate(request, Cost::Write, move |model| model.rename(&from, &to))
    }

    #[track_caller]
    fn rename_noreplace(
        &self,
        from: &str,
        to: &str,
    ) -> impl Future<Output = DiskResult<()>> + 'static {
        let request = Request::paths("rename_noreplace", from, to);
        let (from, to) = (from.to_owned(), to.to_owned());
        self.env.operate(request, Cost::Write, move |model| model.rename_noreplace(&from, &to))
    }

    #[track_caller]
    fn hard_link(&self, from: &str, to: &str) -> impl Future<Output = DiskResult<()>> + 'static {
        let request = Request::paths("hard_link", from, to);
        let (from, to) = (from.to_owned(), to.to_owned());
        self.env.operate(request, Cost::Write, move |model| model.hard_link(&from, &to))
    }

    #[track_caller]
    fn read_dir(&self, path: &str) -> impl Future<Output = DiskResult<Vec<String>>> + 'static {
        let name = path.to_owned();
        let request = Request::path("read_dir", path);
        self.env.operate(request, Cost::Read, move |model| model.read_dir(&name))
    }

    #[track_caller]
    fn metadata(&self, path: &str) -> impl Future<Output = DiskResult<Metadata>> + 'static {
        let name = path.to_owned();
        let request = Request::path("metadata", path);
        self.env.operate(request, Cost::Read, move |model| model.metadata(&name))
    }

    #[track_caller]
    fn sync_dir(&self, path: &str) -> impl Future<Output = DiskResult<()>> + 'static {
        let name = path.to_owned();
        let request = Request::path("sync_dir", path);
        self.env.sync(request, move |model| model.begin_sync_dir(&name))
    }
}

impl File for SimFile {
    #[track_caller]
    fn read_at(
        &self,
        offset: u64,
        len: usize,
    ) -> impl Future<Output = DiskResult<Bytes>> + 'static {
        let handle = self.handle;
        let request = Request::file("read_at", handle, offset ^ (len as u64).rotate_left(32));
        self.env.operate_file(request, Cost::Read, len, move |model, len| {
            model.read_at(handle, offset, len)
        })
    }

    #[track_caller]
    fn write_at(
        &self,
        offset: u64,
        bytes: Bytes,
    ) -> impl Future<Output = DiskResult<usize>> + 'static {
        let handle = self.handle;
        let request = Request::file("write_at", handle, xxh3_64(&bytes) ^ offset);
        self.env.operate_file(request, Cost::Write, bytes.len(), move |model, len| {
            model.write_bytes_at(handle, offset, bytes.slice(..len))
        })
    }

    #[track_caller]
    fn append(&self, bytes: Bytes) -> impl Future<Output = DiskResult<usize>> + 'static {
        let handle = self.handle;
        let request = Request::file("append", handle, xxh3_64(&bytes));
        self.env.operate_file(request, Cost::Write, bytes.len(), move |model, len| {
            model.append_bytes(handle, bytes.slice(..len))
        })
    }

    #[track_caller]
    fn set_len(&self, len: u64) -> impl Future<Output = DiskResult<()>> + 'static {
        let handle = self.handle;
        let request = Request::file("set_len", handle, len);
        self.env.operate_file(request, Cost::Write, 0, move |model, _| model.set_len(handle, len))
    }

    #[track_caller]
    fn sync_data(&self) -> impl Future<Output = DiskResult<()>> + 'static {
        let handle = self.handle;
        let request = Request::file("sync_data", handle, 1);
        self.env.sync(request, move |model| model.begin_sync_data(handle))
    }

    #[track_caller]
    fn sync_all(&self) -> impl Future<Output = DiskResult<()>> + 'static {
        let handle = self.handle;
        let request = Request::file("sync_all", handle, 2);
        self.env.sync(request, move |model| model.begin_sync_file(handle))
    }

    #[track_caller]
    fn metadata(&self) -> impl Future<Output = DiskResult<Metadata>> + 'static {
        let handle = self.handle;
        let request = Request::file("metadata", handle, 0);
        self.env.operate_file(request, Cost::Read, 0, move |model, _| model.file_metadata(handle))
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let (node, boot) = self.env.id();
        self.env.with(|state| {
            if let Some(node) = state.live(node, boot) {
                node.disk.close(self.handle);
            }
        });
    }
}
