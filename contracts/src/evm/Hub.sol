// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DepositDelegate} from "./DepositDelegate.sol";

/// Where deposit addresses pay to. It keeps no coins: `sweep` has each deposit address send its coins
/// straight to the treasury.
///
/// The treasury is changed by a cold key alone, and only after a delay in which the operator can
/// see what was proposed and cancel it. Collectors, which may ask for a sweep and for nothing
/// else, are named and dismissed by the cold key at once: a stolen collector key can move coins
/// nowhere but to the treasury, and can be stopped without waiting.
contract Hub {
    struct Item {
        address deposit;
        /// Zero: the native coin.
        address token;
        /// Atomic units; the largest number stands for the whole balance.
        uint256 amount;
    }

    uint256 private constant DELAY_MIN = 1 hours;
    uint256 private constant DELAY_MAX = 30 days;
    /// What one item may use. A token that burns all that it is given takes this much and no more.
    uint256 private constant ITEM_GAS_MAX = 300_000;

    /// May propose and cancel a treasury, and name collectors. A multisig can stand here.
    address public immutable cold;
    /// Seconds between a proposal and the first moment at which it can be executed.
    uint256 public immutable delay;

    address public treasury;
    /// The proposed treasury; zero while none is.
    address public proposed;
    /// Unix time from which the proposal can be executed.
    uint256 public executableAt;
    mapping(address => bool) public isCollector;

    event TreasuryProposed(address indexed treasury, uint256 executableAt);
    event TreasuryCanceled(address indexed treasury);
    event TreasuryChanged(address indexed before, address indexed treasury);
    event CollectorChanged(address indexed collector, bool allowed);
    /// The item at `index` moved nothing: a paused or hostile token, a source on a token's
    /// deny-list, an address that pays no hub, or nothing to collect.
    event NotCollected(uint256 index, address deposit, address token);
    /// Native coin has no event of its own.
    event NativeCollected(uint256 index, address deposit, uint256 amount);

    error NotCold();
    error NotCollector();
    error NoTreasury();
    error DelayOutOfRange();
    error NothingProposed();
    error TooEarly(uint256 executableAt);
    error TooLittleGas(uint256 index);

    constructor(address treasury_, address collector, address cold_, uint256 delay_) {
        if (treasury_ == address(0) || cold_ == address(0)) revert NoTreasury();
        if (delay_ < DELAY_MIN || delay_ > DELAY_MAX) revert DelayOutOfRange();
        treasury = treasury_;
        cold = cold_;
        delay = delay_;
        isCollector[collector] = true;
        emit TreasuryChanged(address(0), treasury_);
        emit CollectorChanged(collector, true);
    }

    modifier onlyCold() {
        if (msg.sender != cold) revert NotCold();
        _;
    }

    /// Have each deposit address send so much of a token to the treasury. One that can not is told by
    /// `NotCollected`, and holds up no other.
    function sweep(Item[] calldata items) external {
        if (!isCollector[msg.sender]) revert NotCollector();
        address target = treasury;
        for (uint256 index; index < items.length; ++index) {
            Item calldata item = items[index];
            // An item gets all that it may use or is not begun: else whoever chooses the gas limit
            // could make any item fail. (EIP-150 keeps back one 64th of what is left.)
            if (gasleft() < ITEM_GAS_MAX + ITEM_GAS_MAX / 32) revert TooLittleGas(index);
            (bool collected, uint256 sent) = _collect(item, target);
            if (!collected) {
                emit NotCollected(index, item.deposit, item.token);
            } else if (item.token == address(0)) {
                emit NativeCollected(index, item.deposit, sent);
            }
        }
    }

    /// Begin to change the treasury; a proposal before this one is replaced, and the delay begins
    /// again.
    function propose(address treasury_) external onlyCold {
        if (treasury_ == address(0)) revert NoTreasury();
        proposed = treasury_;
        executableAt = block.timestamp + delay;
        emit TreasuryProposed(treasury_, executableAt);
    }

    /// Give up the proposal.
    function cancel() external onlyCold {
        if (proposed == address(0)) revert NothingProposed();
        emit TreasuryCanceled(proposed);
        proposed = address(0);
    }

    /// Bring the proposal about once its delay is over. Anyone may: it was decided by the cold key,
    /// which can stay where it is.
    function execute() external {
        address next = proposed;
        if (next == address(0)) revert NothingProposed();
        if (block.timestamp < executableAt) revert TooEarly(executableAt);
        emit TreasuryChanged(treasury, next);
        treasury = next;
        proposed = address(0);
    }

    /// Name or dismiss an address that may ask for a sweep, at once.
    function setCollector(address collector, bool allowed) external onlyCold {
        isCollector[collector] = allowed;
        emit CollectorChanged(collector, allowed);
    }

    /// A bounded call of the deposit address's delegate. An address without code answers a call
    /// with nothing, so the amount that `DepositDelegate.collect` returns is asked for; more than
    /// one word of an answer is never copied.
    function _collect(Item calldata item, address target)
        private
        returns (bool collected, uint256 sent)
    {
        bytes4 selector = DepositDelegate.collect.selector;
        address deposit = item.deposit;
        address token = item.token;
        uint256 amount = item.amount;
        assembly ("memory-safe") {
            let input := mload(0x40)
            mstore(input, selector)
            mstore(add(input, 0x04), token)
            mstore(add(input, 0x24), target)
            mstore(add(input, 0x44), amount)
            collected := call(ITEM_GAS_MAX, deposit, 0, input, 0x64, 0, 0x20)
            collected := and(collected, gt(returndatasize(), 0x1f))
            sent := mload(0)
        }
    }
}
