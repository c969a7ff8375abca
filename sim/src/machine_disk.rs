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
    env::{Disk, DiskError, DiskResult, File, Metadata, NodeId, OpenMode},
    event::{Change, Doing, Failed, Happening, What},
    inspect::Wait,
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
    /// By which it was opened, for the trace.
    path: Rc<str>,
}

/// What is asked of a disk, for the trace and the digest.
pub(crate) struct Request {
    pub(crate) name: &'static str,
    path: Rc<str>,
    /// The second path of those that have two.
    to: Option<Rc<str>>,
    detail: u64,
    /// How many bytes it is to read or write.
    bytes: Option<usize>,
    /// The open file that it is on, where it may glitch.
    pub(crate) handle: Option<Handle>,
    /// As how many bytes what it is to write counts; 0 if bytes cost no time.
    weighs: u64,
    site: &'static Location<'static>,
}

impl Request {
    #[track_caller]
    fn path(name: &'static str, path: &Rc<str>) -> Self {
        let (path, detail) = (Rc::clone(path), xxh3_64(path.as_bytes()));
        let site = Location::caller();
        Self { name, path, to: None, detail, bytes: None, handle: None, weighs: 0, site }
    }

    #[track_caller]
    fn paths(name: &'static str, from: &Rc<str>, to: &Rc<str>) -> Self {
        let detail = xxh3_64(from.as_bytes()) ^ xxh3_64(to.as_bytes()).rotate_left(1);
        let (path, to, site) = (Rc::clone(from), Some(Rc::clone(to)), Location::caller());
        Self { name, path, to, detail, bytes: None, handle: None, weighs: 0, site }
    }

    #[track_caller]
    fn file(name: &'static str, file: &SimFile, bytes: Option<usize>, detail: u64) -> Self {
        let (path, site) = (Rc::clone(&file.path), Location::caller());
        let handle = Some(file.handle);
        Self { name, path, to: None, detail, bytes, handle, weighs: 0, site }
    }

    /// How many bytes it is to read or write.
    pub(crate) fn asked(&self) -> usize {
        self.bytes.unwrap_or(0)
    }

    /// Its start, for the trace.
    fn begins(&self) -> Doing {
        Doing::DiskBegin {
            operation: self.name,
            path: self.path.to_string(),
            to: self.to.as_deref().map(str::to_owned),
            bytes: self.bytes,
            file: self.site.file(),
            line: self.site.line(),
        }
    }

    /// To wait for its end.
    fn wait(&self, until_ns: Option<u64>) -> Wait {
        Wait::Disk { operation: self.name, path: self.path.to_string(), until_ns }
    }

    /// As in a trace, with the path that an open file has now.
    pub(crate) fn text_on(&self, disk: &Model) -> String {
        let mut begins = self.begins();
        if let (Doing::DiskBegin { path, .. }, Some(now)) =
            (&mut begins, self.handle.and_then(|handle| disk.handle_path(handle)))
        {
            *path = now;
        }
        begins.to_string()
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

    /// How much longer an operation that was done takes for its bytes: `taken` were written, or
    /// `found` was read.
    #[cold]
    fn moved_ns(&mut self, id: NodeId, request: &Request, taken: usize, found: &[u8]) -> u64 {
        if let (Some(handle), 1..) = (request.handle, request.weighs) {
            let share = request.weighs.saturating_mul(taken as u64) / request.asked() as u64;
            self.write_back(id, handle, share);
        }
        self.read_ns(id, found) - self.now_ns
    }

    /// Tells the trace of a sync that failed as it began. It has no effect at its end.
    #[cold]
    fn tell_failed(&mut self, node: NodeId, began: u64, error: DiskError) {
        let error = error.to_string();
        self.trace.tell(self.now_ns, || What::Failed(Failed { node, began, error }));
    }

    /// The time has come for a sync to end. On a disk that stalls it ends later.
    pub(crate) fn end_sync(&mut self, id: (NodeId, u32), sync: Sync, done: Rc<Ending>) {
        let (node, boot) = id;
        if let Some(until_ns) = self.stalled_until_ns(node) {
            self.queue.push(until_ns, Event::EndSync { node, boot, sync, done });
            return;
        }
        if !self.end_of_sync(id, done.began) {
            return;
        }
        let result = self.node(node).disk.end_sync(sync);
        self.show_disk(node, DiskMoment::SyncEnded, done.name.as_deref());
        self.trace_struck(node);
        if let Err(error) = result {
            let (at_ns, name) = (self.now_ns, &self.nodes[usize::from(node.0)].name);
            self.trace.world(at_ns, node.0.into(), || {
                Happening::of(node, Change::Disk, format!("sync of {name} failed: {error}"))
            });
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
    /// The number of the effect that began it.
    began: u64,
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
        self.start(request, cost, move |model, _| work(model), |_| &[])
    }

    /// The same on an open file, which may do less than it was asked to: `work` is told how many
    /// bytes it is to read or write.
    fn operate_file<R>(
        &self,
        request: Request,
        cost: Cost,
        work: impl FnOnce(&mut Model, usize) -> DiskResult<R> + 'static,
    ) -> impl Future<Output = DiskResult<R>> + 'static
    where
        R: 'static,
    {
        self.start(request, cost, work, |_| &[])
    }

    fn start<W, R>(
        &self,
        request: Request,
        cost: Cost,
        work: W,
        found: fn(&R) -> &[u8],
    ) -> Operation<W, R>
    where
        W: FnOnce(&mut Model, usize) -> DiskResult<R>,
    {
        Operation {
            env: self.clone(),
            request,
            cost,
            found,
            began: 0,
            alarm: Alarm::default(),
            stage: Stage::New(work),
        }
    }

    /// As how many bytes a payload counts; 0 if bytes cost no time.
    fn weigh(&self, payload: &[u8]) -> u64 {
        let weigh = |state: &mut State| match state.transfers.on {
            true => state.transfers.weigh(payload),
            false => 0,
        };
        self.with(weigh).unwrap_or_default()
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
    /// Those that were read.
    found: fn(&R) -> &[u8],
    /// The number of the effect that began it.
    began: u64,
    alarm: Alarm,
    stage: Stage<W, R>,
}

// Nothing in it is ever pinned.
impl<W, R> Unpin for Operation<W, R> {}

impl<R, W: FnOnce(&mut Model, usize) -> DiskResult<R>> Future for Operation<W, R> {
    type Output = DiskResult<R>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<DiskResult<R>> {
        let Self { env, request, cost, found, began, alarm, stage } = Pin::into_inner(self);
        let id = env.id();
        let taken = std::mem::replace(stage, Stage::Dead);
        let next = env.with(|state| match taken {
            Stage::New(work) => {
                let kind = match cost {
                    Cost::Write => EffectKind::Write,
                    Cost::Read | Cost::Sync => EffectKind::Disk,
                };
                *began = state.number_next(id.0);
                match state.effect(id, kind, request.detail, || request.begins()) {
                    Admission::Happens => {}
                    Admission::Held => {
                        state.hold(id.0, context);
                        return Stage::New(work);
                    }
                    Admission::Never => return Stage::Dead,
                }
                let taken = state.glitch(id.0, request);
                // Before the work, which may take the name away.
                let name = matches!(cost, Cost::Write).then(|| state.watched_name(id.0, request));
                let name = name.flatten();
                let result = taken.and_then(|taken| work(&mut state.node(id.0).disk, taken));
                state.show_disk(id.0, DiskMoment::Written, name.as_deref());
                state.written(id.0);
                state.trace_struck(id.0);
                let mut ends_ns = state.now_ns + state.disk_latency(id.0, *cost);
                if state.transfers.on
                    && let (Ok(taken), Ok(result)) = (taken, &result)
                {
                    ends_ns += state.moved_ns(id.0, request, taken, found(result));
                }
                alarm.set(state, context, ends_ns);
                state.waits(context, || request.wait(Some(ends_ns)));
                Stage::Waiting(result, ends_ns)
            }
            Stage::Waiting(result, ends_ns) if state.now_ns < ends_ns => {
                alarm.set(state, context, ends_ns);
                state.waits(context, || request.wait(Some(ends_ns)));
                Stage::Waiting(result, ends_ns)
            }
            Stage::Waiting(result, ends_ns) => {
                if let Some(until_ns) = state.stalled_until_ns(id.0) {
                    *alarm = Alarm::default();
                    alarm.set(state, context, until_ns);
                    state.waits(context, || request.wait(Some(until_ns)));
                    return Stage::Waiting(result, until_ns);
                }
                let doing = || Doing::DiskEnd {
                    operation: request.name,
                    began: *began,
                    error: result.as_ref().err().map(ToString::to_string),
                };
                match state.effect(id, EffectKind::Disk, u64::from(result.is_ok()), doing) {
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
                let began = state.number_next(node);
                let doing = || request.begins();
                match state.effect((node, boot), EffectKind::Sync, request.detail, doing) {
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
                if let Err(error) = state.glitch(node, request) {
                    state.tell_failed(node, began, error);
                    return Poll::Ready(Err(error));
                }
                let sync = match work(&mut state.node(node).disk) {
                    Ok(sync) => sync,
                    Err(error) => {
                        state.tell_failed(node, began, error);
                        return Poll::Ready(Err(error));
                    }
                };
                let mut ends_ns = state.now_ns + state.disk_latency(node, Cost::Sync);
                if state.transfers.on {
                    ends_ns += state.written_ns(node, request.handle) - state.now_ns;
                }
                let done = Rc::new(Ending { began, name, ..Ending::default() });
                let event = Event::EndSync { node, boot, sync, done: Rc::clone(&done) };
                state.queue.push(ends_ns, event);
                *end = Some(done);
            }
            let Some(end) = end else { return Poll::Pending };
            if let Some(result) = end.result.get() {
                state.got(|| request.wait(None));
                return Poll::Ready(result);
            }
            state.waits(context, || request.wait(None));
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
        let (env, path) = (self.env.clone(), Rc::from(path));
        let request = Request::path("open", &path);
        let work = move |model: &mut Model| {
            let handle = model.open(&path, mode)?;
            Ok(SimFile { env, handle, path })
        };
        let cost = match mode {
            OpenMode::Read | OpenMode::Write => Cost::Read,
            OpenMode::Create | OpenMode::CreateNew | OpenMode::Truncate => Cost::Write,
        };
        self.env.operate(request, cost, work)
    }

    #[track_caller]
    fn create_dir(&self, path: &str) -> impl Future<Output = DiskResult<()>> + 'static {
        let path = Rc::from(path);
        let request = Request::path("create_dir", &path);
        self.env.operate(request, Cost::Write, move |model| model.create_dir(&path))
    }

    #[track_caller]
    fn remove_dir(&self, path: &str) -> impl Future<Output = DiskResult<()>> + 'static {
        let path = Rc::from(path);
        let request = Request::path("remove_dir", &path);
        self.env.operate(request, Cost::Write, move |model| model.remove_dir(&path))
    }

    #[track_caller]
    fn remove(&self, path: &str) -> impl Future<Output = DiskResult<()>> + 'static {
        let path = Rc::from(path);
        let request = Request::path("remove", &path);
        self.env.operate(request, Cost::Write, move |model| model.remove(&path))
    }

    #[track_caller]
    fn rename(&self, from: &str, to: &str) -> impl Future<Output = DiskResult<()>> + 'static {
        let (from, to) = (Rc::from(from), Rc::from(to));
        let request = Request::paths("rename", &from, &to);
        self.env.operate(request, Cost::Write, move |model| model.rename(&from, &to))
    }

    #[track_caller]
    fn rename_noreplace(
        &self,
        from: &str,
        to: &str,
    ) -> impl Future<Output = DiskResult<()>> + 'static {
        let (from, to) = (Rc::from(from), Rc::from(to));
        let request = Request::paths("rename_noreplace", &from, &to);
        self.env.operate(request, Cost::Write, move |model| model.rename_noreplace(&from, &to))
    }

    #[track_caller]
    fn hard_link(&self, from: &str, to: &str) -> impl Future<Output = DiskResult<()>> + 'static {
        let (from, to) = (Rc::from(from), Rc::from(to));
        let request = Request::paths("hard_link", &from, &to);
        self.env.operate(request, Cost::Write, move |model| model.hard_link(&from, &to))
    }

    #[track_caller]
    fn read_dir(&self, path: &str) -> impl Future<Output = DiskResult<Vec<String>>> + 'static {
        let path = Rc::from(path);
        let request = Request::path("read_dir", &path);
        self.env.operate(request, Cost::Read, move |model| model.read_dir(&path))
    }

    #[track_caller]
    fn metadata(&self, path: &str) -> impl Future<Output = DiskResult<Metadata>> + 'static {
        let path = Rc::from(path);
        let request = Request::path("metadata", &path);
        self.env.operate(request, Cost::Read, move |model| model.metadata(&path))
    }

    #[track_caller]
    fn sync_dir(&self, path: &str) -> impl Future<Output = DiskResult<()>> + 'static {
        let path = Rc::from(path);
        let request = Request::path("sync_dir", &path);
        self.env.sync(request, move |model| model.begin_sync_dir(&path))
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
        let request =
            Request::file("read_at", self, Some(len), offset ^ (len as u64).rotate_left(32));
        let work = move |model: &mut Model, len| model.read_at(handle, offset, len);
        self.env.start(request, Cost::Read, work, |bytes| bytes)
    }

    #[track_caller]
    fn write_at(
        &self,
        offset: u64,
        bytes: Bytes,
    ) -> impl Future<Output = DiskResult<usize>> + 'static {
        let handle = self.handle;
        let mut request =
            Request::file("write_at", self, Some(bytes.len()), xxh3_64(&bytes) ^ offset);
        request.weighs = self.env.weigh(&bytes);
        self.env.operate_file(request, Cost::Write, move |model, len| {
            model.write_bytes_at(handle, offset, bytes.slice(..len))
        })
    }

    #[track_caller]
    fn append(&self, bytes: Bytes) -> impl Future<Output = DiskResult<usize>> + 'static {
        let handle = self.handle;
        let mut request = Request::file("append", self, Some(bytes.len()), xxh3_64(&bytes));
        request.weighs = self.env.weigh(&bytes);
        self.env.operate_file(request, Cost::Write, move |model, len| {
            model.append_bytes(handle, bytes.slice(..len))
        })
    }

    #[track_caller]
    fn set_len(&self, len: u64) -> impl Future<Output = DiskResult<()>> + 'static {
        let handle = self.handle;
        let request = Request::file("set_len", self, None, len);
        self.env.operate_file(request, Cost::Write, move |model, _| model.set_len(handle, len))
    }

    #[track_caller]
    fn sync_data(&self) -> impl Future<Output = DiskResult<()>> + 'static {
        let handle = self.handle;
        let request = Request::file("sync_data", self, None, 1);
        self.env.sync(request, move |model| model.begin_sync_data(handle))
    }

    #[track_caller]
    fn sync_all(&self) -> impl Future<Output = DiskResult<()>> + 'static {
        let handle = self.handle;
        let request = Request::file("sync_all", self, None, 2);
        self.env.sync(request, move |model| model.begin_sync_file(handle))
    }

    #[track_caller]
    fn drop_cached(&self) -> impl Future<Output = DiskResult<()>> + 'static {
        let handle = self.handle;
        let request = Request::file("drop_cached", self, None, 0);
        self.env.operate_file(request, Cost::Read, move |model, _| model.drop_cached(handle))
    }

    #[track_caller]
    fn metadata(&self) -> impl Future<Output = DiskResult<Metadata>> + 'static {
        let handle = self.handle;
        let request = Request::file("metadata", self, None, 0);
        self.env.operate_file(request, Cost::Read, move |model, _| model.file_metadata(handle))
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let (node, boot) = self.env.id();
        self.env.with(|state| {
            if let Some(live) = state.live(node, boot) {
                live.disk.close(self.handle);
                if state.transfers.on {
                    state.transfers.closed(node, self.handle);
                }
            }
        });
    }
}
