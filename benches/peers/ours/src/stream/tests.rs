//! Streams over a network that loses, doubles and reorders datagrams.

use std::{cell::RefCell, rc::Rc};

use unplug_sim::{NetworkConfig, Site, Stop, World, WorldConfig, env::Exit};

use super::*;

const PORT: Port = Port(7);
const BYTES: usize = 300_000;

/// Bytes without a period that segments could share.
fn bytes() -> Vec<u8> {
    let mut random = measure::Random(1);
    (0..BYTES).map(|_| u8::try_from(random.between((0, 256))).expect("a byte")).collect()
}

async fn echo(env: SimEnv) -> Exit {
    let stream = Listener::open(&env, PORT).accept().await;
    let mut buffer = [0; 1_000];
    while stream.read_exact(&mut buffer).await.is_ok() {
        stream.write(&buffer);
    }
    Ok(())
}

/// What came back, and after how long.
type Got = Rc<RefCell<(Vec<u8>, Duration)>>;

async fn ask(env: SimEnv, peer: Address, got: Got) -> Exit {
    let start = env.now();
    let stream = Rc::new(Stream::connect(&env, PORT, peer).await);
    let writer = Rc::clone(&stream);
    let clock = env.clone();
    env.spawn("writer", async move {
        for part in bytes().chunks(2_500) {
            writer.write(part);
            clock.sleep(Duration::from_millis(3)).await;
        }
    });
    let mut buffer = [0; 300];
    for _ in 0..BYTES / buffer.len() {
        stream.read_exact(&mut buffer).await.expect("the server goes on");
        got.borrow_mut().0.extend(buffer);
    }
    got.borrow_mut().1 = env.now().since(start);
    Ok(())
}

/// What comes back of [`bytes`], and after how long.
fn run(network: NetworkConfig) -> (Vec<u8>, Duration) {
    let got = Got::default();
    let mut world =
        World::new(WorldConfig { network, boot_ns: (1_000, 2_000), ..WorldConfig::new(1) });
    let server = world.add_node("server", Site::DataCentre, echo);
    world.start(server);
    let (peer, kept) = (Address { node: server, port: PORT }, Rc::clone(&got));
    let program = move |env| ask(env, peer, Rc::clone(&kept));
    let client = world.add_node("client", Site::Outside, program);
    world.start(client);
    assert_eq!(world.run_until(u64::MAX), Stop::Quiet);
    got.take()
}

const SOUND: NetworkConfig = NetworkConfig {
    latency_ns: (1_000_000, 10_000_000),
    tail: (0, 1),
    tail_ns: (1_000_000, 20_000_000),
    loss: (0, 1),
    duplication: (0, 1),
};

#[test]
fn all_bytes_arrive_in_order_through_loss_duplication_and_reordering() {
    let network = NetworkConfig { loss: (1, 5), duplication: (1, 5), tail: (1, 10), ..SOUND };
    assert!(run(network).0 == bytes(), "the bytes that came back differ");
}

#[test]
fn nothing_waits_for_a_resend_where_nothing_is_lost() {
    let (got, elapsed) = run(SOUND);
    assert!(got == bytes(), "the bytes that came back differ");
    let writing = Duration::from_millis(3 * 120);
    assert!(elapsed < writing + Duration::from_millis(100), "{elapsed:?}");
}
