//! Reads a script into the facts that rules look at: names, uses of globals, literals.
//!
//! In: the text. Out: a [`Script`]. Never: scopes; a name that is declared anywhere in the script
//! counts as declared everywhere, so that no rule complains of what may be right.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use boa_engine::ast::declaration::{Binding, LexicalDeclaration, Variable};
use boa_engine::ast::expression::access::{PropertyAccess, PropertyAccessField};
use boa_engine::ast::expression::literal::{LiteralKind, PropertyDefinition, TemplateElement};
use boa_engine::ast::expression::operator::assign::{Assign, AssignTarget};
use boa_engine::ast::expression::operator::unary::UnaryOp;
use boa_engine::ast::expression::{Expression, Identifier};
use boa_engine::ast::function::{
    AsyncFunctionDeclaration, AsyncFunctionExpression, AsyncGeneratorDeclaration,
    AsyncGeneratorExpression, ClassDeclaration, ClassExpression, FunctionDeclaration,
    FunctionExpression, GeneratorDeclaration, GeneratorExpression,
};
use boa_engine::ast::pattern::{ArrayPatternElement, ObjectPatternElement};
use boa_engine::ast::property::PropertyName;
use boa_engine::ast::scope::Scope;
use boa_engine::ast::statement::With;
use boa_engine::ast::statement::iteration::IterableLoopInitializer;
use boa_engine::ast::visitor::{VisitWith, Visitor};
use boa_engine::ast::{Position, Spanned};
use boa_engine::interner::{Interner, Sym};
use boa_engine::parser::lexer::error::Error as LexError;
use boa_engine::parser::{Error, Parser, Source};

use super::{Finding, Rule, Severity};

/// Expressions within expressions that are followed; whoever writes by hand stays far below.
const MAX_DEPTH: usize = 400;

/// Line and column, both from 1.
pub(super) type Place = (u32, u32);

/// What a script's text says.
#[derive(Debug, Default)]
pub(super) struct Script {
    /// Names that are declared or assigned anywhere.
    pub(super) declared: BTreeSet<String>,
    /// Names that are read, with the first place of each.
    pub(super) read: BTreeMap<String, Place>,
    /// Names after `typeof`: the script asks before it uses them.
    pub(super) asked: BTreeSet<String>,
    /// Uses of members, as `vendor.s3.put`.
    pub(super) uses: Vec<Use>,
    /// Members that the script itself assigns.
    pub(super) written: BTreeSet<String>,
    /// Members of a name that are assigned, each with what is known of the value.
    pub(super) members: Vec<Assigned>,
    /// Functions declared at the top level, with their place.
    pub(super) functions: Vec<(String, Place)>,
    /// Names declared outside of functions with `let` or `const`, with their place: nothing but the
    /// script itself sees them.
    pub(super) hidden: Vec<(String, Place)>,
    /// Names that hold one literal text and nothing else, ever.
    pub(super) constants: BTreeMap<String, (String, Place)>,
    /// Whether names may come from where no reader sees them (`eval`, `with`).
    pub(super) open: bool,
}

/// A use of a member of a name.
#[derive(Debug)]
pub(super) struct Use {
    /// Name and members, each with its place.
    pub(super) path: Vec<(String, Place)>,
    /// The arguments, when it is called.
    pub(super) call: Option<Vec<Argument>>,
}

impl Use {
    /// Name and members, joined by a dot.
    pub(super) fn text(&self) -> String {
        let names: Vec<&str> = self.path.iter().map(|(name, _)| name.as_str()).collect();
        names.join(".")
    }
}

/// `name.member = value`
#[derive(Debug)]
pub(super) struct Assigned {
    /// The name.
    pub(super) name: String,
    /// Its member, with its place.
    pub(super) member: (String, Place),
    /// The value.
    pub(super) value: Argument,
}

/// What is known of an argument.
#[derive(Debug)]
pub(super) enum Argument {
    /// A literal text, or a name that holds one.
    Text(String, Place),
    /// A name, whose value may be known.
    Name(String),
    /// An object literal's members that are texts; one that is a list of texts, with each of them.
    Members(Vec<(String, String, Place)>),
    /// A literal that is neither text nor object.
    Value(Place),
    /// Anything else.
    Other,
    /// `...list`: any number of arguments.
    Spread,
}

/// Reads a script.
///
/// # Errors
/// What is wrong with its syntax.
pub(super) fn read(code: &str) -> Result<Script, Finding> {
    let mut interner = Interner::default();
    let mut parser = Parser::new(Source::from_bytes(code.as_bytes()));
    let parsed = parser.parse_script(&Scope::new_global(), &mut interner);
    let parsed = parsed.map_err(|error| syntax(&error, code))?;
    let mut reader = Reader {
        interner: &interner,
        script: Script::default(),
        initial: BTreeMap::new(),
        assigned: BTreeMap::new(),
        depth: 0,
        functions: 0,
    };
    let _ = parsed.visit_with(&mut reader);
    Ok(reader.finish())
}

/// Where the syntax of a text is wrong; `None` when it is not.
pub(crate) fn broken_at(code: &str) -> Option<Place> {
    let mut parser = Parser::new(Source::from_bytes(code.as_bytes()));
    let parsed = parser.parse_script(&Scope::new_global(), &mut Interner::default());
    parsed.err().map(|error| place_of(&error, code))
}

fn place_of(error: &Error, code: &str) -> Place {
    let place = |position: Position| (position.line_number(), position.column_number());
    match error {
        Error::Expected { span, .. } | Error::Unexpected { span, .. } => place(span.start()),
        Error::General { position, .. } => place(*position),
        Error::Lex {
            err: LexError::Syntax(_, position),
        } => place(*position),
        // The text ends where something must follow.
        Error::AbruptEnd | Error::Lex { .. } => end(code),
        Error::ScopeAnalysis { .. } => (0, 0),
    }
}

fn syntax(error: &Error, code: &str) -> Finding {
    let (line, column) = place_of(error, code);
    // The place is told beside the message, not in it.
    let text = error.to_string();
    let text = match text.rsplit_once(" at line ") {
        Some((before, _)) => before.to_owned(),
        None => text,
    };
    Finding {
        severity: Severity::Error,
        rule: Rule::Syntax,
        line,
        column,
        message: text,
        text: String::new(),
    }
}

/// The place behind the last character.
fn end(code: &str) -> Place {
    let lines = u32::try_from(code.lines().count()).unwrap_or(u32::MAX);
    let last = code.lines().last().unwrap_or_default().chars().count();
    let column = u32::try_from(last).unwrap_or(0).saturating_add(1);
    (lines.max(1), column)
}

struct Reader<'i> {
    interner: &'i Interner,
    script: Script,
    /// The literal texts that names are declared with.
    initial: BTreeMap<String, (String, Place)>,
    /// How often each name gets a value.
    assigned: BTreeMap<String, u32>,
    depth: usize,
    /// Functions around the present place.
    functions: usize,
}

impl Reader<'_> {
    fn finish(mut self) -> Script {
        let assigned = self.assigned;
        self.initial
            .retain(|name, _| assigned.get(name).copied() == Some(1));
        self.script.constants = self.initial;
        self.script
    }

    fn name(&self, sym: Sym) -> String {
        self.interner.resolve_expect(sym).to_string()
    }

    fn declare(&mut self, identifier: Identifier) {
        let name = self.name(identifier.sym());
        *self.assigned.entry(name.clone()).or_default() += 1;
        self.script.declared.insert(name);
    }

    /// `a.b["c"]` as names with their places; `None` when it is not that simple.
    fn path(&self, expression: &Expression) -> Option<Vec<(String, Place)>> {
        let mut names = Vec::new();
        let mut at = expression.flatten();
        loop {
            match at {
                Expression::Identifier(identifier) => {
                    names.push((self.name(identifier.sym()), place(identifier)));
                    names.reverse();
                    return Some(names);
                }
                Expression::PropertyAccess(PropertyAccess::Simple(access)) => {
                    names.push(match access.field() {
                        PropertyAccessField::Const(field) => (self.name(field.sym()), place(field)),
                        PropertyAccessField::Expr(field) => {
                            let (text, at) = self.text(field)?;
                            (text, at)
                        }
                    });
                    at = access.target().flatten();
                }
                _ => return None,
            }
        }
    }

    /// The text of a literal, or of a template without expressions.
    fn text(&self, expression: &Expression) -> Option<(String, Place)> {
        match expression.flatten() {
            Expression::Literal(literal) => {
                let sym = literal.as_string()?;
                Some((self.name(sym), place(literal)))
            }
            Expression::TemplateLiteral(template) => match template.elements() {
                [TemplateElement::String(sym)] => Some((self.name(*sym), place(template))),
                _ => None,
            },
            _ => None,
        }
    }

    fn argument(&self, expression: &Expression) -> Argument {
        if let Some((text, at)) = self.text(expression) {
            return Argument::Text(text, at);
        }
        match expression.flatten() {
            Expression::Spread(_) => Argument::Spread,
            Expression::Identifier(identifier) => Argument::Name(self.name(identifier.sym())),
            Expression::Literal(literal) if !matches!(literal.kind(), LiteralKind::Null) => {
                Argument::Value(place(literal))
            }
            Expression::ObjectLiteral(object) => {
                let members = object
                    .properties()
                    .iter()
                    .filter_map(|member| match member {
                        PropertyDefinition::Property(PropertyName::Literal(name), value) => {
                            Some((self.name(name.sym()), self.texts(value)))
                        }
                        _ => None,
                    });
                let members = members.flat_map(|(name, texts)| {
                    let named = move |(text, at)| (name.clone(), text, at);
                    texts.into_iter().map(named)
                });
                Argument::Members(members.collect())
            }
            _ => Argument::Other,
        }
    }

    /// A literal text, or those of a list.
    fn texts(&self, expression: &Expression) -> Vec<(String, Place)> {
        match expression.flatten() {
            Expression::ArrayLiteral(list) => {
                let elements = list.as_ref().iter().flatten();
                elements.filter_map(|one| self.text(one)).collect()
            }
            _ => self.text(expression).into_iter().collect(),
        }
    }

    fn used(&mut self, path: Vec<(String, Place)>, call: Option<Vec<Argument>>) {
        if let Some((root, at)) = path.first() {
            self.script.read.entry(root.clone()).or_insert(*at);
        }
        self.script.uses.push(Use { path, call });
    }

    /// A function of any kind, declared or as a value.
    fn function<'ast>(
        &mut self,
        name: Option<Identifier>,
        is_declared: bool,
        node: &'ast impl VisitWith,
    ) -> ControlFlow<()>
    where
        Self: Visitor<'ast, BreakTy = ()>,
    {
        if let Some(name) = name {
            self.declare(name);
            if is_declared && self.functions == 0 {
                let declared = (self.name(name.sym()), place(&name));
                self.script.functions.push(declared);
            }
        }
        self.functions += 1;
        let result = node.visit_with(self);
        self.functions -= 1;
        result
    }

    fn expression<'ast>(&mut self, expression: &'ast Expression) -> ControlFlow<()>
    where
        Self: Visitor<'ast, BreakTy = ()>,
    {
        match expression {
            Expression::Call(call) => {
                let path = self.path(call.function());
                if let Some(path) = path {
                    if let [(name, _)] = path.as_slice() {
                        self.script.open |= name == "eval";
                    }
                    let arguments = call.args().iter().map(|arg| self.argument(arg)).collect();
                    self.used(path, Some(arguments));
                } else {
                    self.visit_expression(call.function())?;
                }
                for argument in call.args() {
                    self.visit_expression(argument)?;
                }
                ControlFlow::Continue(())
            }
            Expression::PropertyAccess(_) => match self.path(expression) {
                Some(path) => {
                    self.used(path, None);
                    ControlFlow::Continue(())
                }
                None => expression.visit_with(self),
            },
            Expression::Unary(unary) if unary.op() == UnaryOp::TypeOf => {
                if let Some(path) = self.path(unary.target()) {
                    let names: Vec<String> = path.into_iter().map(|(name, _)| name).collect();
                    self.script.asked.insert(names.join("."));
                    return ControlFlow::Continue(());
                }
                expression.visit_with(self)
            }
            _ => expression.visit_with(self),
        }
    }
}

impl<'ast> Visitor<'ast> for Reader<'_> {
    type BreakTy = ();

    fn visit_expression(&mut self, node: &'ast Expression) -> ControlFlow<()> {
        if self.depth >= MAX_DEPTH {
            self.script.open = true;
            return ControlFlow::Continue(());
        }
        self.depth += 1;
        let result = self.expression(node);
        self.depth -= 1;
        result
    }

    fn visit_identifier(&mut self, node: &'ast Identifier) -> ControlFlow<()> {
        let name = self.name(node.sym());
        self.script.read.entry(name).or_insert(place(node));
        ControlFlow::Continue(())
    }

    fn visit_binding(&mut self, node: &'ast Binding) -> ControlFlow<()> {
        if let Binding::Identifier(identifier) = node {
            self.declare(*identifier);
        }
        node.visit_with(self)
    }

    fn visit_variable(&mut self, node: &'ast Variable) -> ControlFlow<()> {
        if let (Binding::Identifier(identifier), Some(text)) =
            (node.binding(), node.init().and_then(|init| self.text(init)))
        {
            self.initial.insert(self.name(identifier.sym()), text);
        }
        node.visit_with(self)
    }

    fn visit_object_pattern_element(
        &mut self,
        node: &'ast ObjectPatternElement,
    ) -> ControlFlow<()> {
        if let ObjectPatternElement::SingleName { ident, .. }
        | ObjectPatternElement::RestProperty { ident } = node
        {
            self.declare(*ident);
        }
        node.visit_with(self)
    }

    fn visit_array_pattern_element(&mut self, node: &'ast ArrayPatternElement) -> ControlFlow<()> {
        if let ArrayPatternElement::SingleName { ident, .. }
        | ArrayPatternElement::SingleNameRest { ident } = node
        {
            self.declare(*ident);
        }
        node.visit_with(self)
    }

    fn visit_iterable_loop_initializer(
        &mut self,
        node: &'ast IterableLoopInitializer,
    ) -> ControlFlow<()> {
        if let IterableLoopInitializer::Identifier(identifier) = node {
            self.declare(*identifier);
        }
        node.visit_with(self)
    }

    fn visit_assign(&mut self, node: &'ast Assign) -> ControlFlow<()> {
        match node.lhs() {
            AssignTarget::Identifier(identifier) => self.declare(*identifier),
            AssignTarget::Access(PropertyAccess::Simple(access)) => {
                let member = match access.field() {
                    PropertyAccessField::Const(field) => {
                        Some((self.name(field.sym()), place(field)))
                    }
                    PropertyAccessField::Expr(field) => self.text(field),
                };
                let target = self.path(access.target());
                if let (Some([(name, _)]), Some(member)) = (target.as_deref(), &member) {
                    let (name, member) = (name.clone(), member.clone());
                    let value = self.argument(node.rhs());
                    self.script.members.push(Assigned {
                        name,
                        member,
                        value,
                    });
                }
                match (target, access.target(), member.map(|(name, _)| name)) {
                    // A global of its own, made by way of the global object.
                    (_, Expression::This(_), Some(name)) => {
                        self.script.declared.insert(name);
                    }
                    (Some(path), _, Some(name)) => {
                        if matches!(path.as_slice(), [(root, _)] if root == "globalThis") {
                            self.script.declared.insert(name.clone());
                        }
                        let mut names: Vec<String> =
                            path.into_iter().map(|(name, _)| name).collect();
                        names.push(name);
                        self.script.written.insert(names.join("."));
                    }
                    _ => {}
                }
                self.visit_expression(access.target())?;
                if let PropertyAccessField::Expr(field) = access.field() {
                    self.visit_expression(field)?;
                }
                return self.visit_expression(node.rhs());
            }
            AssignTarget::Access(_) | AssignTarget::Pattern(_) => {}
        }
        node.visit_with(self)
    }

    fn visit_lexical_declaration(&mut self, node: &'ast LexicalDeclaration) -> ControlFlow<()> {
        if self.functions == 0 {
            for variable in node.variable_list().as_ref() {
                if let Binding::Identifier(name) = variable.binding() {
                    let hidden = (self.name(name.sym()), place(name));
                    self.script.hidden.push(hidden);
                }
            }
        }
        node.visit_with(self)
    }

    fn visit_function_declaration(&mut self, node: &'ast FunctionDeclaration) -> ControlFlow<()> {
        self.function(Some(node.name()), true, node)
    }

    fn visit_generator_declaration(&mut self, node: &'ast GeneratorDeclaration) -> ControlFlow<()> {
        self.function(Some(node.name()), true, node)
    }

    fn visit_async_function_declaration(
        &mut self,
        node: &'ast AsyncFunctionDeclaration,
    ) -> ControlFlow<()> {
        self.function(Some(node.name()), true, node)
    }

    fn visit_async_generator_declaration(
        &mut self,
        node: &'ast AsyncGeneratorDeclaration,
    ) -> ControlFlow<()> {
        self.function(Some(node.name()), true, node)
    }

    fn visit_function_expression(&mut self, node: &'ast FunctionExpression) -> ControlFlow<()> {
        self.function(node.name(), false, node)
    }

    fn visit_generator_expression(&mut self, node: &'ast GeneratorExpression) -> ControlFlow<()> {
        self.function(node.name(), false, node)
    }

    fn visit_async_function_expression(
        &mut self,
        node: &'ast AsyncFunctionExpression,
    ) -> ControlFlow<()> {
        self.function(node.name(), false, node)
    }

    fn visit_async_generator_expression(
        &mut self,
        node: &'ast AsyncGeneratorExpression,
    ) -> ControlFlow<()> {
        self.function(node.name(), false, node)
    }

    fn visit_class_declaration(&mut self, node: &'ast ClassDeclaration) -> ControlFlow<()> {
        self.declare(node.name());
        node.visit_with(self)
    }

    fn visit_class_expression(&mut self, node: &'ast ClassExpression) -> ControlFlow<()> {
        if let Some(name) = node.name() {
            self.declare(name);
        }
        node.visit_with(self)
    }

    fn visit_with(&mut self, node: &'ast With) -> ControlFlow<()> {
        self.script.open = true;
        VisitWith::visit_with(node, self)
    }
}

fn place(node: &impl Spanned) -> Place {
    let start = node.span().start();
    (start.line_number(), start.column_number())
}
