// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// Who pays whom, in which token, and how long a payer's own way out takes. Immutable: its hash is
/// the channel's name.
struct ChannelConfig {
    address payer;
    address payerAuthorizer;
    address receiver;
    address receiverAuthorizer;
    address token;
    uint40 withdrawDelay;
    bytes32 salt;
}

struct Voucher {
    ChannelConfig channel;
    uint128 maxClaimableAmount;
}

struct VoucherClaim {
    Voucher voucher;
    bytes signature;
    uint128 totalClaimed;
}

/// Fetches a deposit: after the call exactly `amount` more of `token` is here.
interface IDepositCollector {
    function collect(ChannelConfig calldata config, bytes32 channelId, uint256 amount, bytes calldata data)
        external;
}

/// The escrow of x402's scheme `batch-settlement`, for local chains: written from the public ABI and
/// specification, to stand where the public contract stands on others. A payer's coins wait in a
/// channel; vouchers, cumulative and signed by the payer, say up to which total they are the
/// receiver's. Claims move nothing but numbers, and one transfer then pays a receiver for all of its
/// channels. What is not claimed is the payer's: by the receiver's consent at once, or alone after a
/// delay in which the receiver may still claim.
///
/// A call with one bad claim does nothing at all, as its callers' simulations rely on.
contract BatchSettlement {
    using SafeERC20 for IERC20;

    struct Channel {
        uint128 balance;
        uint128 totalClaimed;
    }

    struct Withdrawal {
        uint128 amount;
        uint40 initiatedAt;
    }

    struct Receiver {
        uint128 totalClaimed;
        uint128 totalSettled;
    }

    uint40 public constant WITHDRAW_DELAY_MIN = 15 minutes;
    uint40 public constant WITHDRAW_DELAY_MAX = 30 days;

    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant NAME_HASH = keccak256("x402 Batch Settlement");
    bytes32 private constant VERSION_HASH = keccak256("1");
    bytes32 private constant CHANNEL_TYPEHASH = keccak256(
        "ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)"
    );
    bytes32 private constant VOUCHER_TYPEHASH = keccak256("Voucher(bytes32 channelId,uint128 maxClaimableAmount)");
    bytes32 private constant REFUND_TYPEHASH = keccak256("Refund(bytes32 channelId,uint256 nonce,uint128 amount)");
    bytes32 private constant CLAIM_TYPEHASH =
        keccak256("ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)");
    bytes32 private constant CLAIM_BATCH_TYPEHASH = keccak256(
        "ClaimBatch(ClaimEntry[] claims)ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)"
    );

    /// What was deposited and not given back, and how much of it was claimed.
    mapping(bytes32 channelId => Channel) public channels;
    mapping(bytes32 channelId => Withdrawal) public pendingWithdrawals;
    mapping(address receiver => mapping(address token => Receiver)) public receivers;
    mapping(bytes32 channelId => uint256) public refundNonce;

    bool private transient _entered;

    event ChannelCreated(bytes32 indexed channelId, ChannelConfig config);
    event ChannelClosed(bytes32 indexed channelId, ChannelConfig config);
    event Deposited(bytes32 indexed channelId, address indexed sender, uint128 amount, uint128 balance);
    event Claimed(bytes32 indexed channelId, address indexed sender, uint128 amount, uint128 totalClaimed);
    event Settled(address indexed receiver, address indexed token, address indexed sender, uint128 amount);
    event Refunded(bytes32 indexed channelId, address indexed sender, uint128 amount);
    event WithdrawInitiated(bytes32 indexed channelId, uint128 amount, uint40 finalizableAt);
    event WithdrawFinalized(bytes32 indexed channelId, address indexed sender, uint128 amount);

    error InvalidChannel();
    error InvalidAmount();
    error InvalidSignature();
    error NotAllowed();
    error DepositMismatch(uint256 received);
    error ClaimExceedsVoucher();
    error ClaimExceedsBalance();
    error NothingPending();
    error TooEarly(uint40 finalizableAt);
    error Reentered();

    /// Tokens and collectors are called: whoever they hand on to can not come back in.
    modifier nonReentrant() {
        if (_entered) revert Reentered();
        _entered = true;
        _;
        _entered = false;
    }

    /// Several calls in one, all or none; each as the caller's own.
    function multicall(bytes[] calldata data) external returns (bytes[] memory results) {
        results = new bytes[](data.length);
        for (uint256 index = 0; index < data.length; ++index) {
            (bool succeeded, bytes memory answer) = address(this).delegatecall(data[index]);
            if (!succeeded) {
                assembly ("memory-safe") {
                    revert(add(answer, 0x20), mload(answer))
                }
            }
            results[index] = answer;
        }
    }

    /// Open a channel, or add to one. Anybody may: what comes is the payer's, who signed for it.
    function deposit(ChannelConfig calldata config, uint128 amount, address collector, bytes calldata collectorData)
        external
        nonReentrant
    {
        _check(config);
        if (amount == 0) revert InvalidAmount();
        bytes32 channelId = getChannelId(config);
        // Nothing here can be entered while the collector and the token are called, so no other
        // deposit or payment moves the balance between the two readings.
        uint256 before = IERC20(config.token).balanceOf(address(this));
        IDepositCollector(collector).collect(config, channelId, amount, collectorData);
        uint256 received = IERC20(config.token).balanceOf(address(this)) - before;
        if (received != amount) revert DepositMismatch(received);
        Channel storage channel = channels[channelId];
        if (channel.balance == 0) emit ChannelCreated(channelId, config);
        channel.balance += amount;
        emit Deposited(channelId, msg.sender, amount, channel.balance);
    }

    /// Claim by the receiver or its authorizer itself.
    function claim(VoucherClaim[] calldata voucherClaims) external nonReentrant {
        for (uint256 index = 0; index < voucherClaims.length; ++index) {
            ChannelConfig calldata config = voucherClaims[index].voucher.channel;
            if (msg.sender != config.receiverAuthorizer && msg.sender != config.receiver) revert NotAllowed();
            _claim(voucherClaims[index]);
        }
    }

    /// Claim by anybody who holds the authorizer's signature over exactly these claims.
    function claimWithSignature(VoucherClaim[] calldata voucherClaims, bytes calldata authorizerSignature)
        external
        nonReentrant
    {
        if (voucherClaims.length == 0) revert InvalidAmount();
        address authorizer = voucherClaims[0].voucher.channel.receiverAuthorizer;
        bytes32 digest = getClaimBatchDigest(voucherClaims);
        if (!SignatureChecker.isValidSignatureNowCalldata(authorizer, digest, authorizerSignature)) {
            revert InvalidSignature();
        }
        for (uint256 index = 0; index < voucherClaims.length; ++index) {
            if (voucherClaims[index].voucher.channel.receiverAuthorizer != authorizer) revert NotAllowed();
            _claim(voucherClaims[index]);
        }
    }

    /// Pay a receiver what was claimed for it and not paid yet. Anybody may; nothing due is no error.
    function settle(address receiver, address token) external nonReentrant {
        Receiver storage account = receivers[receiver][token];
        uint128 amount = account.totalClaimed - account.totalSettled;
        if (amount == 0) return;
        account.totalSettled = account.totalClaimed;
        emit Settled(receiver, token, msg.sender, amount);
        IERC20(token).safeTransfer(receiver, amount);
    }

    /// Begin the payer's own way out. Begun again it starts anew.
    function initiateWithdraw(ChannelConfig calldata config, uint128 amount) external {
        _onlyPayer(config);
        bytes32 channelId = getChannelId(config);
        Channel storage channel = channels[channelId];
        if (amount == 0 || amount > channel.balance - channel.totalClaimed) revert InvalidAmount();
        pendingWithdrawals[channelId] = Withdrawal(amount, uint40(block.timestamp));
        emit WithdrawInitiated(channelId, amount, uint40(block.timestamp) + config.withdrawDelay);
    }

    /// End it: what was asked for, or as much of it as has not been claimed meanwhile.
    function finalizeWithdraw(ChannelConfig calldata config) external nonReentrant {
        _onlyPayer(config);
        bytes32 channelId = getChannelId(config);
        Withdrawal memory pending = pendingWithdrawals[channelId];
        if (pending.initiatedAt == 0) revert NothingPending();
        uint40 finalizableAt = pending.initiatedAt + config.withdrawDelay;
        if (block.timestamp < finalizableAt) revert TooEarly(finalizableAt);
        delete pendingWithdrawals[channelId];
        uint128 amount = _giveBack(config, channelId, pending.amount);
        emit WithdrawFinalized(channelId, msg.sender, amount);
    }

    /// Give coins back at once, by the receiver or its authorizer itself.
    function refund(ChannelConfig calldata config, uint128 amount) external nonReentrant {
        if (msg.sender != config.receiverAuthorizer && msg.sender != config.receiver) revert NotAllowed();
        _refund(config, getChannelId(config), amount);
    }

    /// Give coins back at once, by anybody who holds the authorizer's signature of this nonce.
    function refundWithSignature(
        ChannelConfig calldata config,
        uint128 amount,
        uint256 nonce,
        bytes calldata receiverAuthorizerSignature
    ) external nonReentrant {
        bytes32 channelId = getChannelId(config);
        bytes32 digest = getRefundDigest(channelId, nonce, amount);
        if (
            nonce != refundNonce[channelId]
                || !SignatureChecker.isValidSignatureNowCalldata(
                    config.receiverAuthorizer, digest, receiverAuthorizerSignature
                )
        ) revert InvalidSignature();
        _refund(config, channelId, amount);
    }

    function getChannelId(ChannelConfig calldata config) public view returns (bytes32) {
        return _digest(
            keccak256(
                abi.encode(
                    CHANNEL_TYPEHASH,
                    config.payer,
                    config.payerAuthorizer,
                    config.receiver,
                    config.receiverAuthorizer,
                    config.token,
                    config.withdrawDelay,
                    config.salt
                )
            )
        );
    }

    function getVoucherDigest(bytes32 channelId, uint128 maxClaimableAmount) public view returns (bytes32) {
        return _digest(keccak256(abi.encode(VOUCHER_TYPEHASH, channelId, maxClaimableAmount)));
    }

    function getRefundDigest(bytes32 channelId, uint256 nonce, uint128 amount) public view returns (bytes32) {
        return _digest(keccak256(abi.encode(REFUND_TYPEHASH, channelId, nonce, amount)));
    }

    function getClaimBatchDigest(VoucherClaim[] calldata voucherClaims) public view returns (bytes32) {
        bytes32[] memory entries = new bytes32[](voucherClaims.length);
        for (uint256 index = 0; index < voucherClaims.length; ++index) {
            VoucherClaim calldata each = voucherClaims[index];
            bytes32 channelId = getChannelId(each.voucher.channel);
            entries[index] = keccak256(
                abi.encode(CLAIM_TYPEHASH, channelId, each.voucher.maxClaimableAmount, each.totalClaimed)
            );
        }
        return _digest(keccak256(abi.encode(CLAIM_BATCH_TYPEHASH, keccak256(abi.encodePacked(entries)))));
    }

    /// Raise a channel's claimed total to what the claim says; a total that was reached is no error,
    /// so that a claim that is sent twice does nothing the second time.
    function _claim(VoucherClaim calldata each) private {
        ChannelConfig calldata config = each.voucher.channel;
        bytes32 channelId = getChannelId(config);
        if (each.totalClaimed > each.voucher.maxClaimableAmount) revert ClaimExceedsVoucher();
        Channel storage channel = channels[channelId];
        uint128 claimed = channel.totalClaimed;
        if (each.totalClaimed > channel.balance) revert ClaimExceedsBalance();
        bytes32 digest = getVoucherDigest(channelId, each.voucher.maxClaimableAmount);
        if (!_isPayers(config, digest, each.signature)) revert InvalidSignature();
        if (each.totalClaimed <= claimed) return;
        uint128 amount = each.totalClaimed - claimed;
        channel.totalClaimed = each.totalClaimed;
        receivers[config.receiver][config.token].totalClaimed += amount;
        emit Claimed(channelId, msg.sender, amount, each.totalClaimed);
    }

    /// Did the key that a channel names sign, or, where it names none, its payer's contract?
    function _isPayers(ChannelConfig calldata config, bytes32 digest, bytes calldata signature)
        private
        view
        returns (bool)
    {
        if (config.payerAuthorizer == address(0)) {
            return SignatureChecker.isValidSignatureNowCalldata(config.payer, digest, signature);
        }
        (address signer, ECDSA.RecoverError failed,) = ECDSA.tryRecoverCalldata(digest, signature);
        return failed == ECDSA.RecoverError.NoError && signer == config.payerAuthorizer;
    }

    /// The nonce is used up even where nothing is left to give back.
    function _refund(ChannelConfig calldata config, bytes32 channelId, uint128 amount) private {
        if (amount == 0) revert InvalidAmount();
        ++refundNonce[channelId];
        Withdrawal storage pending = pendingWithdrawals[channelId];
        uint128 given = _giveBack(config, channelId, amount);
        if (pending.initiatedAt != 0) {
            if (given >= pending.amount) delete pendingWithdrawals[channelId];
            else pending.amount -= given;
        }
        if (given != 0) emit Refunded(channelId, msg.sender, given);
    }

    /// To the payer, `amount` or as much of it as is not claimed. State first, then the transfer.
    function _giveBack(ChannelConfig calldata config, bytes32 channelId, uint128 amount)
        private
        returns (uint128 given)
    {
        Channel storage channel = channels[channelId];
        uint128 left = channel.balance - channel.totalClaimed;
        given = amount < left ? amount : left;
        if (given == 0) return 0;
        channel.balance -= given;
        if (channel.balance == 0) emit ChannelClosed(channelId, config);
        IERC20(config.token).safeTransfer(config.payer, given);
    }

    function _onlyPayer(ChannelConfig calldata config) private view {
        if (msg.sender != config.payer && msg.sender != config.payerAuthorizer) revert NotAllowed();
    }

    function _check(ChannelConfig calldata config) private pure {
        if (
            config.payer == address(0) || config.receiver == address(0) || config.receiverAuthorizer == address(0)
                || config.token == address(0) || config.withdrawDelay < WITHDRAW_DELAY_MIN
                || config.withdrawDelay > WITHDRAW_DELAY_MAX
        ) revert InvalidChannel();
    }

    /// EIP-712. The domain is made anew each time: the code is placed, not constructed.
    function _digest(bytes32 structHash) private view returns (bytes32) {
        bytes32 domain =
            keccak256(abi.encode(DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH, block.chainid, address(this)));
        return keccak256(abi.encodePacked("\x19\x01", domain, structHash));
    }
}
