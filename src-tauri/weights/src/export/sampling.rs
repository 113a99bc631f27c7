//! How the model's makers want its tokens chosen: `generation_config.json` in keys that other runtimes know, too.

use serde_json::Value as Json;

use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::gguf::{Value, Writer};

pub(super) fn describe(checkpoint: &Checkpoint, writer: &mut Writer) -> Result<(), Error> {
    let Some(json) = checkpoint.json_file("generation_config.json")? else {
        return Ok(());
    };
    let numbers = [
        ("temp", "temperature"),
        ("top_p", "top_p"),
        ("min_p", "min_p"),
        ("penalty_repeat", "repetition_penalty"),
    ];
    for (key, field) in numbers {
        // Where nothing is drawn, a temperature says nothing: always the most probable token.
        let greedy = key == "temp" && json["do_sample"] == Json::Bool(false);
        let number = json[field].as_f64().map(|number| number as f32);
        if let Some(number) = if greedy { Some(0.0) } else { number } {
            writer.value(&format!("general.sampling.{key}"), number);
        }
    }
    if let Some(top_k) = json["top_k"].as_u64() {
        let top_k = i32::try_from(top_k).unwrap_or(0); // 0 keeps all, as does more than there are.
        writer.value("general.sampling.top_k", Value::I32(top_k));
    }
    Ok(())
}
