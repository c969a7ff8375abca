//! Conditions and computed columns: names become places, types are checked.

use super::{
    check::{PipelineError, error, find},
    row::Row,
    spec::{Column, ColumnType, Comparison, Condition, Constant, Expression, Value},
};

/// A compiled condition.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Compare(usize, Comparison, Value),
    Columns(usize, Comparison, usize),
    IsNull(usize),
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub(super) enum Formula {
    Column(usize),
    Constant(Value),
    EventTime,
    Of(Arithmetic, Box<(Self, Self)>),
    If(Box<(Test, Self, Self)>),
}

/// What is done to two whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Plus,
    Minus,
    Times,
    Per,
    Rest,
}

impl Test {
    /// Checks and compiles.
    pub(super) fn new(
        node: &str,
        condition: &Condition,
        columns: &[Column],
    ) -> Result<Self, PipelineError> {
        let each = |conditions: &[Condition]| {
            conditions.iter().map(|one| Self::new(node, one, columns)).collect::<Result<_, _>>()
        };
        Ok(match condition {
            Condition::Compare { column, is, value } => {
                let place = find(node, column, columns)?;
                let (value, kind) = constant(value);
                if kind != columns[place].kind {
                    let what = format!(
                        "compares the column \"{column}\" of type {:?} with the constant {value:?}",
                        columns[place].kind
                    );
                    return Err(error(node, what));
                }
                Self::Compare(place, *is, value)
            }
            Condition::Columns { left, is, right } => {
                let places = (find(node, left, columns)?, find(node, right, columns)?);
                let kinds = (columns[places.0].kind, columns[places.1].kind);
                if kinds.0 != kinds.1 {
                    let what = format!(
                        "compares the column \"{left}\" of type {:?} with \"{right}\" of type {:?}",
                        kinds.0, kinds.1
                    );
                    return Err(error(node, what));
                }
                Self::Columns(places.0, *is, places.1)
            }
            Condition::IsNull(column) => Self::IsNull(find(node, column, columns)?),
            Condition::All(conditions) => Self::All(each(conditions)?),
            Condition::Any(conditions) => Self::Any(each(conditions)?),
            Condition::Not(condition) => Self::Not(Box::new(Self::new(node, condition, columns)?)),
        })
    }

    /// Whether it holds for a row.
    pub(super) fn holds(&self, values: &[Value]) -> bool {
        match self {
            Self::Compare(place, is, constant) => compare(&values[*place], *is, constant),
            Self::Columns(left, is, right) => compare(&values[*left], *is, &values[*right]),
            Self::IsNull(place) => values[*place] == Value::Null,
            Self::All(tests) => tests.iter().all(|test| test.holds(values)),
            Self::Any(tests) => tests.iter().any(|test| test.holds(values)),
            Self::Not(test) => !test.holds(values),
        }
    }
}

fn compare(left: &Value, is: Comparison, right: &Value) -> bool {
    !matches!((left, right), (Value::Null, _) | (_, Value::Null))
        && match is {
            Comparison::Equal => left == right,
            Comparison::Below => left < right,
            Comparison::Above => left > right,
        }
}

fn constant(constant: &Constant) -> (Value, ColumnType) {
    match constant {
        Constant::Bool(value) => (Value::Bool(*value), ColumnType::Bool),
        Constant::Int(value) => (Value::Int(*value), ColumnType::Int),
        Constant::Text(value) => (Value::Text(value.into()), ColumnType::Text),
    }
}

impl Formula {
    /// Checks and compiles; gives the type, too.
    pub(super) fn new(
        node: &str,
        expression: &Expression,
        columns: &[Column],
    ) -> Result<(Self, ColumnType), PipelineError> {
        let of = |what: Arithmetic, both: &(Expression, Expression)| {
            let number = |one: &Expression| match Self::new(node, one, columns)? {
                (one, ColumnType::Int) => Ok(one),
                (_, kind) => {
                    let what = format!("computes with a value of type {kind:?}, and needs Int");
                    Err(error(node, what))
                }
            };
            let both = Box::new((number(&both.0)?, number(&both.1)?));
            Ok((Self::Of(what, both), ColumnType::Int))
        };
        match expression {
            Expression::Column(name) => {
                let place = find(node, name, columns)?;
                Ok((Self::Column(place), columns[place].kind))
            }
            Expression::Constant(value) => {
                let (value, kind) = constant(value);
                Ok((Self::Constant(value), kind))
            }
            Expression::EventTime => Ok((Self::EventTime, ColumnType::Int)),
            Expression::Plus(both) => of(Arithmetic::Plus, both),
            Expression::Minus(both) => of(Arithmetic::Minus, both),
            Expression::Times(both) => of(Arithmetic::Times, both),
            Expression::Per(both) => of(Arithmetic::Per, both),
            Expression::Rest(both) => of(Arithmetic::Rest, both),
            Expression::If { when, then, otherwise } => {
                let test = Test::new(node, when, columns)?;
                let (then, kind) = Self::new(node, then, columns)?;
                let (otherwise, other) = Self::new(node, otherwise, columns)?;
                if kind != other {
                    let what =
                        format!("gives either a value of type {kind:?} or of type {other:?}");
                    return Err(error(node, what));
                }
                Ok((Self::If(Box::new((test, then, otherwise))), kind))
            }
        }
    }

    /// Its value for a row.
    ///
    /// # Errors
    /// A number that 64 bits cannot hold.
    pub(super) fn value(&self, row: &Row) -> Result<Value, String> {
        match self {
            Self::Column(place) => Ok(row.values[*place].clone()),
            Self::Constant(value) => Ok(value.clone()),
            Self::EventTime => {
                let time_ms = row.origin.time_ms();
                let fits = i64::try_from(time_ms).map(Value::Int);
                fits.map_err(|_| format!("the event time {time_ms} is beyond 64 bits with a sign"))
            }
            Self::Of(what, both) => {
                let (Value::Int(left), Value::Int(right)) =
                    (both.0.value(row)?, both.1.value(row)?)
                else {
                    return Ok(Value::Null);
                };
                let value = match what {
                    Arithmetic::Plus => left.checked_add(right),
                    Arithmetic::Minus => left.checked_sub(right),
                    Arithmetic::Times => left.checked_mul(right),
                    Arithmetic::Per | Arithmetic::Rest if right == 0 => return Ok(Value::Null),
                    Arithmetic::Per => floored(left, right),
                    Arithmetic::Rest => Some(left.checked_rem_euclid(right).unwrap_or(0)),
                };
                value.map(Value::Int).ok_or_else(|| {
                    format!("{what:?} of {left} and {right} is beyond a whole number of 64 bits")
                })
            }
            Self::If(parts) => {
                if parts.0.holds(&row.values) {
                    parts.1.value(row)
                } else {
                    parts.2.value(row)
                }
            }
        }
    }
}

/// The quotient, rounded down.
fn floored(left: i64, right: i64) -> Option<i64> {
    let towards_zero = left.checked_div(right)?;
    let down = left % right != 0 && (left < 0) != (right < 0);
    Some(towards_zero - i64::from(down))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Origin;

    #[test]
    fn conditions_combine() {
        let values = [Value::Int(5), Value::Null, Value::Int(6)];
        let compare = |is, constant| Test::Compare(0, is, Value::Int(constant));
        let yes = || compare(Comparison::Above, 4);
        let no = || compare(Comparison::Below, 4);
        assert!(compare(Comparison::Equal, 5).holds(&values));
        assert!(Test::All(vec![yes(), Test::IsNull(1)]).holds(&values));
        assert!(!Test::All(vec![yes(), no()]).holds(&values));
        assert!(Test::Any(vec![no(), yes()]).holds(&values));
        assert!(!Test::Any(vec![]).holds(&values));
        assert!(Test::Not(Box::new(no())).holds(&values));
        assert!(!Test::Compare(1, Comparison::Below, Value::Int(9)).holds(&values));
        assert!(Test::Columns(0, Comparison::Below, 2).holds(&values));
        assert!(!Test::Columns(0, Comparison::Below, 1).holds(&values));
        assert!(!Test::Columns(1, Comparison::Equal, 1).holds(&values));
    }

    #[test]
    fn division_rounds_down_and_never_by_nothing() {
        let row = Row {
            origin: Origin::Tuple { producer: 0, seq: 0, time_ms: 7 },
            values: vec![Value::Int(-7), Value::Int(2), Value::Int(0), Value::Null],
        };
        let of = |what, left, right| {
            Formula::Of(what, Box::new((Formula::Column(left), Formula::Column(right)))).value(&row)
        };
        assert_eq!(of(Arithmetic::Per, 0, 1), Ok(Value::Int(-4)));
        assert_eq!(of(Arithmetic::Rest, 0, 1), Ok(Value::Int(1)));
        assert_eq!(of(Arithmetic::Per, 0, 2), Ok(Value::Null));
        assert_eq!(of(Arithmetic::Rest, 0, 2), Ok(Value::Null));
        assert_eq!(of(Arithmetic::Plus, 0, 3), Ok(Value::Null));
        assert_eq!(
            (floored(7, -2), floored(-7, -2), floored(6, -2)),
            (Some(-4), Some(3), Some(-3))
        );
        assert_eq!(floored(i64::MIN, -1), None);
        assert_eq!(Formula::EventTime.value(&row), Ok(Value::Int(7)));
        let most = Box::new((Formula::Constant(Value::Int(i64::MAX)), Formula::Column(1)));
        let error = Formula::Of(Arithmetic::Plus, most).value(&row).expect_err("too much");
        assert_eq!(error, "Plus of 9223372036854775807 and 2 is beyond a whole number of 64 bits");
    }
}
