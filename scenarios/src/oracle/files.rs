//! A reader of the files of a sink, by its manifests alone, written from what the format promises.
//!
//! It looks at what a power cut would leave of the disk, and what it finds is one more read: it must
//! agree with what other readers were shown. It knows nothing of files that no manifest names.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use unplug_sim::{disk::Tree, env::FileKind};
use xxhash_rust::xxh3::xxh3_64;

use crate::history::{Batch, Cell, Cut, Row, TupleId};

#[derive(Deserialize)]
struct Manifest {
    version: u64,
    epoch: u64,
    cut: WrittenCut,
    files: Vec<Named>,
}

#[derive(Deserialize)]
struct WrittenCut {
    ends: Vec<u64>,
    idle: Vec<u16>,
    watermark_ms: u64,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    bytes: u64,
    rows: u64,
    xxh3: String,
}

#[derive(Deserialize)]
struct Line {
    origin: Origin,
    values: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Origin {
    Tuple { producer: u16, seq: u64 },
    Many { print: u128 },
}

/// All that a sink's manifests name, in their order.
///
/// # Errors
/// What is missing or damaged, and where.
pub fn batches(disk: &Tree, sink: u16) -> Result<Vec<Arc<Batch>>, String> {
    let is_manifest = |path: &str| {
        path.strip_prefix("/manifests/")
            .is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()))
    };
    let manifests = disk.iter().filter(|(path, _)| is_manifest(path));
    manifests
        .map(|(path, (_, bytes))| {
            let batch = batch(disk, sink, bytes).map_err(|error| format!("{path}: {error}"))?;
            Ok(Arc::new(batch))
        })
        .collect()
}

fn batch(disk: &Tree, sink: u16, manifest: &[u8]) -> Result<Batch, String> {
    let text = std::str::from_utf8(manifest).map_err(|error| error.to_string())?;
    let [json, sum, ""] = text.split('\n').collect::<Vec<_>>()[..] else {
        return Err("it is not two lines".to_owned());
    };
    checked(json.as_bytes(), sum)?;
    let manifest: Manifest = serde_json::from_str(json).map_err(|error| error.to_string())?;
    if manifest.version != 1 {
        return Err(format!("it has version {}", manifest.version));
    }
    let mut rows = Vec::new();
    for file in &manifest.files {
        let more = file_rows(disk, file).map_err(|error| format!("{}: {error}", file.name))?;
        rows.extend(more);
    }
    let WrittenCut { ends, idle, watermark_ms } = manifest.cut;
    Ok(Batch { sink, epoch: manifest.epoch, cut: Cut { ends, idle, watermark_ms }, rows })
}

fn file_rows(disk: &Tree, file: &Named) -> Result<Vec<Row>, String> {
    let Some((FileKind::File, bytes)) = disk.get(&format!("/files/{}", file.name)) else {
        return Err("no such file".to_owned());
    };
    if bytes.len() as u64 != file.bytes {
        return Err(format!("{} bytes, and {} are named", bytes.len(), file.bytes));
    }
    checked(bytes, &file.xxh3)?;
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let rows: Vec<_> = text.lines().map(row).collect::<Result<_, _>>()?;
    if rows.len() as u64 == file.rows {
        return Ok(rows);
    }
    Err(format!("{} rows, and {} are named", rows.len(), file.rows))
}

fn row(line: &str) -> Result<Row, String> {
    let Line { origin, values } = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let cell = |value| match value {
        Value::Null => Ok(Cell::Null),
        Value::Bool(value) => Ok(Cell::Bool(value)),
        Value::String(value) => Ok(Cell::Text(value.into())),
        Value::Number(value) => {
            value.as_i64().map(Cell::Int).ok_or_else(|| format!("{value} is no whole number"))
        }
        Value::Array(_) | Value::Object(_) => Err(format!("{value} is no value")),
    };
    let (id, print) = match origin {
        Origin::Tuple { producer, seq } => (Some(TupleId { producer, seq }), 0),
        Origin::Many { print } => (None, print),
    };
    Ok(Row { id, print, cells: values.into_iter().map(cell).collect::<Result<_, _>>()? })
}

fn checked(bytes: &[u8], sum: &str) -> Result<(), String> {
    let is = format!("{:016x}", xxh3_64(bytes));
    if is == sum { Ok(()) } else { Err(format!("its xxh3-64 is {is}, and should be {sum}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &str = concat!(
        r#"{"origin":{"tuple":{"producer":1,"seq":7,"time_ms":5}},"values":["JFK",-3,true,null]}"#,
        "\n",
        r#"{"origin":{"many":{"time_ms":9,"print":340282366920938463463374607431768211455}},"values":[]}"#,
        "\n"
    );

    fn sum(bytes: &str) -> String {
        format!("{:016x}", xxh3_64(bytes.as_bytes()))
    }

    /// A disk with one manifest of a file with these rows, and with files that it does not name.
    fn disk(rows: &str, named: (usize, u64, u64)) -> Tree {
        let (bytes, count, version) = named;
        let json = format!(
            r#"{{"version":{version},"epoch":1,"cut":{{"ends":[8],"idle":[0],"watermark_ms":4}},"files":[{{"name":"a","bytes":{bytes},"rows":{count},"xxh3":"{}"}}]}}"#,
            sum(ROWS)
        );
        let manifest = format!("{json}\n{}\n", sum(&json));
        let files = [
            ("/manifests/000000000001", manifest.as_str()),
            ("/manifests/tmp-12", "half a mani"),
            ("/files/a", rows),
            ("/files/orphan", ROWS),
        ];
        let file = |(path, text): (&str, &str)| {
            (path.to_owned(), (FileKind::File, text.as_bytes().to_vec().into()))
        };
        files.into_iter().map(file).collect()
    }

    #[test]
    fn what_a_manifest_names_is_read_and_nothing_else() {
        let sound = (ROWS.len(), 2, 1);
        let read = batches(&disk(ROWS, sound), 3).expect("sound");
        let [batch] = &read[..] else { panic!("{read:?}") };
        let cut = Cut { ends: vec![8], idle: vec![0], watermark_ms: 4 };
        assert_eq!((batch.sink, batch.epoch, &batch.cut), (3, 1, &cut));
        let cells = vec![Cell::Text("JFK".into()), Cell::Int(-3), Cell::Bool(true), Cell::Null];
        let id = Some(TupleId { producer: 1, seq: 7 });
        assert_eq!(
            batch.rows,
            [Row { id, print: 0, cells }, Row { id: None, print: u128::MAX, cells: Vec::new() }]
        );
    }

    #[test]
    fn what_is_missing_or_damaged_is_told_with_its_place() {
        let sound = (ROWS.len(), 2, 1);
        let error = |disk: &Tree| batches(disk, 0).expect_err("unsound");
        for (disk, what) in [
            (disk(&ROWS.replace("JFK", "LGA"), sound), "a: its xxh3-64 is "),
            (disk(ROWS, (5, 2, 1)), "bytes, and 5 are named"),
            (disk(ROWS, (ROWS.len(), 3, 1)), "2 rows, and 3 are named"),
            (disk(ROWS, (ROWS.len(), 2, 2)), "it has version 2"),
        ] {
            let error = error(&disk);
            assert!(error.starts_with("/manifests/000000000001: "), "{error}");
            assert!(error.contains(what), "{error}");
        }
        let mut gone = disk(ROWS, sound);
        gone.remove("/files/a");
        assert_eq!(error(&gone), "/manifests/000000000001: a: no such file");
        let mut torn = disk(ROWS, sound);
        torn.get_mut("/manifests/000000000001").expect("there").1.truncate(20);
        assert_eq!(error(&torn), "/manifests/000000000001: it is not two lines");
    }
}
