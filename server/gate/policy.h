#ifndef STRONGROOM_SERVER_GATE_POLICY_H_
#define STRONGROOM_SERVER_GATE_POLICY_H_

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/gate/operation.h"
#include "server/gate/principal.h"

namespace strongroom::gate {

using EncryptionContext = std::map<std::string, std::string>;

// What a call is bound to, as far as permissions ask for it.
struct CallContext {
  // The call's encryption context, possibly empty; it outlives this. Null if the call has an Aad,
  // which is not an encryption context, or if the operation takes neither.
  const EncryptionContext* encryption_context = nullptr;
};

// What a statement or a grant asks of a call's encryption context. An empty map asks nothing.
struct ContextConditions {
  // The call's context is exactly this ("EncryptionContextEquals" at AWS).
  EncryptionContext equals = {};
  // The call's context has at least these pairs ("EncryptionContextSubset").
  EncryptionContext subset = {};

  bool empty() const { return equals.empty() && subset.empty(); }
  // If there is a condition, a call without an encryption context does not meet it.
  bool AreMetBy(const CallContext& context) const;

  friend bool operator==(const ContextConditions&, const ContextConditions&) = default;
};

// A statement as its author wrote it.
struct StatementText {
  // Optional: at most 64 characters, and no two of a policy have the same.
  std::string id = {};
  std::vector<std::string> principals = {};
  std::vector<std::string> operations = {};
  ContextConditions conditions = {};

  friend bool operator==(const StatementText&, const StatementText&) = default;
};

// Who may do what: statements that allow. What none allows is not allowed; none forbids.
//
// Immutable, so thread-safe.
class Policy {
 public:
  static constexpr size_t kMaxStatements = 100;
  static constexpr size_t kMaxPrincipals = 100;
  static constexpr size_t kMaxDocumentBytes = 32 * 1024;
  static constexpr size_t kMaxStatementId = 64;

  // Has no statement, and allows nothing.
  Policy() = default;

  // `field` is how the caller's interface calls the statements: errors (InvalidParameter,
  // MissingParameter) name e.g. "FIELD[2].principals[0]". Takes 1 to 100 statements of 1 to 100
  // principals each, at most 32 KiB as a document, all in UTF-8.
  static absl::StatusOr<Policy> Create(absl::string_view field,
                                       std::vector<StatementText> statements);

  // JSON; equal policies have equal documents.
  std::string ToDocument() const;
  // INVALID_ARGUMENT, for the log, if it is not what ToDocument() gives.
  static absl::StatusOr<Policy> FromDocument(absl::string_view document);

  // Whether a statement allows this. One with conditions does not allow operations that take no
  // encryption context.
  bool Allows(absl::string_view principal, Operation operation, const CallContext& context) const;
  // Whether it does so whatever the call is bound to.
  bool AllowsAlways(absl::string_view principal, Operation operation) const;
  // Whether there is anybody whom AllowsAlways() allows this.
  bool AllowsSomebody(Operation operation) const;

  // As they were written.
  const std::vector<StatementText>& statements() const { return texts_; }

 private:
  struct Statement {
    std::vector<PrincipalPattern> principals;
    OperationSet operations;
    ContextConditions conditions;

    bool Names(absl::string_view principal) const;
  };

  // In the same order.
  std::vector<StatementText> texts_;
  std::vector<Statement> statements_;
};

}  // namespace strongroom::gate

#endif  // STRONGROOM_SERVER_GATE_POLICY_H_
