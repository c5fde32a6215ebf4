// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DepositClone} from "./DepositClone.sol";
import {Hub} from "./Hub.sol";

/// Deposit addresses without keys, for chains without EIP-7702. Each is an EIP-1167 clone of one
/// `DepositClone`, whose address follows from a salt (EIP-1014) before there is any code there; the
/// first sweep creates it. Whoever creates one, and when, changes nothing: the code is the same.
///
/// What is swept goes to the treasury of the hub, which the hub's cold key changes after a delay; so
/// that works for clones that were given out long before. The hub's collectors may ask for it.
///
/// What is nobody's payment (another token, native coin, what screening sends back) leaves by the
/// recoverer. That is named as a treasury is: by the hub's cold key, after the hub's delay. It is
/// dismissed at once.
contract DepositFactory {
    struct Item {
        /// Whose: the clone of this salt.
        bytes32 salt;
        /// Zero: the native coin.
        address token;
        /// Atomic units.
        uint256 amount;
    }

    /// What one item's transfer may use, as `Hub` has it.
    uint256 private constant ITEM_GAS_MAX = 300_000;
    /// More than the creation of a clone takes.
    uint256 private constant CREATE_GAS_MAX = 60_000;

    Hub public immutable hub;
    /// What clones are clones of.
    address public immutable implementation;
    /// Of the code that creates a clone.
    bytes32 private immutable CODE_HASH;

    /// May send a clone's coins anywhere; zero: nobody may.
    address public recoverer;
    /// The proposed recoverer; zero while none is.
    address public proposed;
    /// Unix time from which the proposal can be executed.
    uint256 public executableAt;

    event RecovererProposed(address indexed recoverer, uint256 executableAt);
    event RecovererCanceled(address indexed recoverer);
    event RecovererChanged(address indexed before, address indexed recoverer);
    /// The item at `index` moved nothing, as the hub's event of this name says.
    event NotCollected(uint256 index, address deposit, address token);
    /// Native coin has no event of its own.
    event NativeCollected(uint256 index, address deposit, uint256 amount);
    event Recovered(address indexed deposit, address indexed token, address to, uint256 amount);

    error NotCold();
    error NotCollector();
    error NotRecoverer();
    error NothingProposed();
    error TooEarly(uint256 executableAt);
    error TooLittleGas(uint256 index);

    constructor(Hub hub_, address recoverer_) {
        hub = hub_;
        // Our first creation: its address follows from ours.
        implementation = address(new DepositClone());
        CODE_HASH = keccak256(_cloneCode(implementation));
        recoverer = recoverer_;
        emit RecovererChanged(address(0), recoverer_);
    }

    modifier onlyCold() {
        if (msg.sender != hub.cold()) revert NotCold();
        _;
    }

    /// Have each clone send so much of a token to the hub's treasury, and create it first where it is
    /// missing. One that can not is told by `NotCollected`, and holds up no other.
    function sweep(Item[] calldata items) external {
        if (!hub.isCollector(msg.sender)) revert NotCollector();
        address target = hub.treasury();
        for (uint256 index; index < items.length; ++index) {
            Item calldata item = items[index];
            // As in the hub: an item gets all that it may use, or is not begun.
            if (gasleft() < CREATE_GAS_MAX + ITEM_GAS_MAX + ITEM_GAS_MAX / 32) {
                revert TooLittleGas(index);
            }
            address deposit = create(item.salt);
            if (!_send(deposit, item.token, target, item.amount, ITEM_GAS_MAX)) {
                emit NotCollected(index, deposit, item.token);
            } else if (item.token == address(0)) {
                emit NativeCollected(index, deposit, item.amount);
            }
        }
    }

    /// Send what is nobody's payment from a clone to where its owner says; all of it, or an error.
    function recover(bytes32 salt, address token, address to, uint256 amount) external {
        if (msg.sender != recoverer) revert NotRecoverer();
        address deposit = create(salt);
        if (!_send(deposit, token, to, amount, gasleft())) revert DepositClone.NotTransferred();
        emit Recovered(deposit, token, to, amount);
    }

    /// Create one clone; again: nothing happens. Anyone may, for it obeys this factory alone.
    function create(bytes32 salt) public returns (address deposit) {
        deposit = addressOf(salt);
        // Asked first: creating where something stands costs all the gas that is left.
        if (deposit.code.length != 0) return deposit;
        bytes memory code = _cloneCode(implementation);
        // What the chain itself says: one that counts addresses otherwise is found out by asking.
        assembly ("memory-safe") {
            deposit := create2(0, add(code, 0x20), mload(code), salt)
        }
    }

    /// Where the clone of a salt stands or will stand.
    function addressOf(bytes32 salt) public view returns (address) {
        return address(uint160(uint256(
            keccak256(abi.encodePacked(bytes1(0xff), address(this), salt, CODE_HASH))
        )));
    }

    /// Begin to change the recoverer (zero: to nobody); a proposal before this one is replaced, and
    /// the delay begins again.
    function propose(address recoverer_) external onlyCold {
        proposed = recoverer_;
        executableAt = block.timestamp + hub.delay();
        emit RecovererProposed(recoverer_, executableAt);
    }

    /// Give up the proposal.
    function cancel() external onlyCold {
        if (executableAt == 0) revert NothingProposed();
        emit RecovererCanceled(proposed);
        proposed = address(0);
        executableAt = 0;
    }

    /// Bring the proposal about once its delay is over. Anyone may.
    function execute() external {
        if (executableAt == 0) revert NothingProposed();
        if (block.timestamp < executableAt) revert TooEarly(executableAt);
        emit RecovererChanged(recoverer, proposed);
        recoverer = proposed;
        proposed = address(0);
        executableAt = 0;
    }

    /// From now on nobody recovers anything, until another one's delay is over.
    function dismiss() external onlyCold {
        emit RecovererChanged(recoverer, address(0));
        recoverer = address(0);
    }

    /// A bounded call of the clone. More than one word of an answer is never copied; an address
    /// without code answers with nothing.
    function _send(address deposit, address token, address to, uint256 amount, uint256 gas_)
        private
        returns (bool sent)
    {
        bytes4 selector = DepositClone.send.selector;
        assembly ("memory-safe") {
            let input := mload(0x40)
            mstore(input, selector)
            mstore(add(input, 0x04), token)
            mstore(add(input, 0x24), to)
            mstore(add(input, 0x44), amount)
            sent := call(gas_, deposit, 0, input, 0x64, 0, 0x20)
            sent := and(sent, gt(returndatasize(), 0x1f))
        }
    }

    /// EIP-1167 with its creation prefix.
    function _cloneCode(address target) private pure returns (bytes memory) {
        return abi.encodePacked(
            hex"3d602d80600a3d3981f3363d3d373d3d3d363d73",
            target,
            hex"5af43d82803e903d91602b57fd5bf3"
        );
    }
}
