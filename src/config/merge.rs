//! Merging of layers, by the crate `config`: tables key by key, everything else as a whole.

use config::{Map, Source, Value, ValueKind};

/// One checked layer as a source. Its top-level names are those of [`Config`](super::Config), so the path syntax that the crate
/// applies to them (`a.b`, `a[0]`) never meets a name from outside.
#[derive(Clone, Debug)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

/// The layers as one table; later ones win.
///
/// # Errors
/// What the crate says; nothing that a checked layer can cause.
pub fn layers(layers: Vec<toml::Table>) -> Result<toml::Table, String> {
    let mut builder = config::Config::builder();
    for table in layers {
        builder = builder.add_source(Layer(
            table
                .into_iter()
                .map(|(name, value)| (name, into(value)))
                .collect(),
        ));
    }
    let merged = builder.build().map_err(|error| error.to_string())?;
    let map = merged.collect().map_err(|error| error.to_string())?;
    Ok(map
        .into_iter()
        .filter_map(|(name, value)| Some((name, back(value)?)))
        .collect())
}

/// `top` laid over `base`.
pub fn over(mut base: toml::Table, top: toml::Table) -> toml::Table {
    for (name, value) in top {
        let value = match (base.remove(&name), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => {
                toml::Value::Table(over(below, above))
            }
            (_, value) => value,
        };
        base.insert(name, value);
    }
    base
}

fn into(value: toml::Value) -> Value {
    let kind = match value {
        toml::Value::String(text) => ValueKind::String(text),
        toml::Value::Integer(number) => ValueKind::I64(number),
        toml::Value::Float(number) => ValueKind::Float(number),
        toml::Value::Boolean(truth) => ValueKind::Boolean(truth),
        toml::Value::Datetime(time) => ValueKind::String(time.to_string()),
        toml::Value::Array(items) => ValueKind::Array(items.into_iter().map(into).collect()),
        toml::Value::Table(table) => ValueKind::Table(
            table
                .into_iter()
                .map(|(name, value)| (name, into(value)))
                .collect(),
        ),
    };
    Value::new(None, kind)
}

fn back(value: Value) -> Option<toml::Value> {
    Some(match value.kind {
        ValueKind::Nil => return None,
        ValueKind::Boolean(truth) => toml::Value::Boolean(truth),
        ValueKind::I64(number) => toml::Value::Integer(number),
        ValueKind::I128(number) => toml::Value::Integer(number.try_into().ok()?),
        ValueKind::U64(number) => toml::Value::Integer(number.try_into().ok()?),
        ValueKind::U128(number) => toml::Value::Integer(number.try_into().ok()?),
        ValueKind::Float(number) => toml::Value::Float(number),
        ValueKind::String(text) => toml::Value::String(text),
        ValueKind::Array(items) => toml::Value::Array(items.into_iter().filter_map(back).collect()),
        ValueKind::Table(table) => toml::Value::Table(
            table
                .into_iter()
                .filter_map(|(name, value)| Some((name, back(value)?)))
                .collect(),
        ),
    })
}
