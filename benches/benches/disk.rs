//! A disk with many files of which few are dirty: a fork, a power cut and a fingerprint should cost
//! what changed, not what is there.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use unplug_benches::{CpuTime, criterion};
use unplug_sim::{
    disk::{Disk, Fate},
    env::OpenMode,
    random::Stream,
};

const FILES: u32 = 10_000;
const DIRECTORIES: u32 = 100;
const FILE_BYTES: usize = 4096;
const DIRTY: u32 = 3;

fn forks(criterion: &mut Criterion<CpuTime>) {
    let disk = disk();
    let fork = || disk.clone();
    let mut group = criterion.benchmark_group("10,000 files, 3 dirty");
    group.bench_function("fork", |bencher| bencher.iter_with_large_drop(fork));
    group.bench_function("write to a fork", |bencher| {
        bencher.iter_batched_ref(fork, write, BatchSize::PerIteration);
    });
    group.bench_function("power cut of a fork", |bencher| {
        let crash = |disk: &mut Disk| disk.crash(&mut Stream::new(1, "disk", 0, 0));
        bencher.iter_batched_ref(fork, crash, BatchSize::PerIteration);
    });
    group.bench_function("fingerprint of a power cut", |bencher| {
        let crashed = || {
            let mut disk = fork();
            disk.crash_with(&mut |_| Fate::Lost);
            disk
        };
        bencher.iter_batched_ref(crashed, |disk| disk.image_hash(), BatchSize::PerIteration);
    });
    group.bench_function("8 outcomes with their fingerprints", |bencher| {
        bencher.iter(|| disk.outcomes().take(8).map(|it| it.image_hash()).collect::<Vec<_>>());
    });
    group.finish();
}

fn disk() -> Disk {
    let mut disk = Disk::new();
    for number in 0..FILES {
        let path = format!("{}/{number}", number % DIRECTORIES);
        disk.put_durable(&path, &[1; FILE_BYTES]).expect("sound");
    }
    for number in 0..DIRTY {
        let file = disk.open(&format!("{number}/{number}"), OpenMode::Write).expect("it is there");
        disk.write_at(file, 0, b"dirty").expect("sound");
        disk.close(file);
    }
    // Each file's own fingerprint is known from here on.
    assert_ne!(disk.image_hash(), Disk::new().image_hash());
    disk
}

fn write(disk: &mut Disk) {
    let file = disk.open("7/7", OpenMode::Write).expect("it is there");
    disk.write_at(file, 0, b"dirty").expect("sound");
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = forks
}
criterion_main!(benches);
