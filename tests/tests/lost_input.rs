//! Somebody deletes input that no epoch has read yet: that is refused in one line, and nothing is
//! passed over.

use unplug::{cluster, scenario::Scenario, workload::Workload};
use unplug_engine::{
    broker::{Answer, Request},
    rpc::Rpc,
    tuple::Generation,
};
use unplug_sim::{
    End, SimEnv, Site,
    env::{Env, Exit, NodeId, Refusal},
    fault::Plan,
};

const SECOND: u64 = 1_000_000_000;
const BROKER: NodeId = NodeId(0);

/// Has everything deleted that the source has, however little of it was read, again and again.
async fn rogue(env: SimEnv) -> Exit {
    let rpc = Rpc::open(&env)?;
    let answers = rpc.clone();
    env.spawn("answers", async move {
        drop(answers.serve(async |(): ()| Ok::<_, Refusal>(())).await);
    });
    env.sleep(std::time::Duration::from_secs(8)).await;
    loop {
        if let Answer::Ends(ends) = rpc.insist(BROKER, &Request::Ends).await {
            let request = Request::Trim { generation: Generation(u64::MAX), ends };
            rpc.insist::<_, Answer>(BROKER, &request).await;
        }
        env.sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[test]
fn a_plan_whose_input_was_deleted_is_refused_in_one_line_and_nothing_more_is_published() {
    let text = r#"{"name": "lost", "cluster": {"partitions": 1, "sinks": 1}, "epoch_tuples_max": 20,
        "workload": {"flights": {"tuples": 4000, "per_second": 400}}}"#;
    let scenario = Scenario::parse("lost", text).expect("sound");
    let workload = Workload::embedded().expect("sound");
    let (mut world, clients) = cluster::build(&scenario, 1, &workload).expect("sound");
    let rogue = world.add_node("rogue", Site::Outside, rogue);
    world.start(rogue);
    world.load(&Plan::default()).expect("empty");
    world.run_until(30 * SECOND);
    let ended = world.ended();
    let [ended] = &ended[..] else { panic!("{ended:?}") };
    assert_eq!((world.name(ended.node).as_str(), ended.end), ("driver-0", End::Refusal));
    let message = &ended.message;
    assert!(
        message.starts_with("epoch ") && message.contains(" reads partition 0 from offset "),
        "{message}"
    );
    assert!(message.contains("what was planned to be read was deleted"), "{message}");
    assert!(!message.contains('\n'), "{message}");
    let history = clients.history.borrow();
    let last = history.reads.iter().flat_map(|read| &read.batches).map(|batch| batch.epoch).max();
    let refused: u64 =
        message.split(' ').nth(1).and_then(|epoch| epoch.parse().ok()).expect("an epoch");
    assert_eq!(last, Some(refused - 1), "{message}");
}
